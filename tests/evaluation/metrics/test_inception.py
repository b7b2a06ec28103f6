"""FID with a stand-in for torch-fidelity, which would download its weights."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import importlib.util
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from ganzoo.core.errors import DataError
from ganzoo.evaluation.metrics import inception
from ganzoo.evaluation.metrics.frechet import frechet_distance
from ganzoo.evaluation.metrics.inception import FID
from tests.evaluation.metrics.conftest import Workshop, noisy


class Extractor(nn.Module):
    """Has the interface of torch-fidelity's: uint8 RGB in, a tuple of features out."""

    def __init__(self, name: str, features: list[str]):
        super().__init__()
        assert (name, features) == ("inception-v3-compat", ["2048"])
        self.weight = nn.Parameter(torch.randn(3 * 256, 20, generator=torch.Generator().manual_seed(0)))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        assert images.dtype == torch.uint8
        assert images.shape[1] == 3
        assert torch.equal(images[:, 0], images[:, 2])
        return (images.flatten(1).float() / 255 @ self.weight,)


class NoWeights(Extractor):
    def __init__(self, name: str, features: list[str]):
        raise OSError("<urlopen error no network>")


def install(monkeypatch: pytest.MonkeyPatch, extractor: type) -> None:
    package, module = (
        types.ModuleType("torch_fidelity"),
        types.ModuleType("torch_fidelity.feature_extractor_inceptionv3"),
    )
    package.__spec__ = importlib.machinery.ModuleSpec("torch_fidelity", None)
    module.FeatureExtractorInceptionV3 = extractor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.4.0")


def test_fid_is_the_frechet_distance_of_its_features(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Extractor)
    monkeypatch.setattr(FID, "min_samples", 100)
    context = workshop.context(noisy(workshop.good.images))
    assert FID().inapplicable_reason(context) is None
    result = FID().measure(context)
    extractor = Extractor("inception-v3-compat", ["2048"])
    sides = [inception.inception_features(extractor, images.values) for images in (context.samples, context.reference)]
    assert result.values["fid"].value == pytest.approx(frechet_distance(*sides))
    assert result.values["fid"].real is not None
    assert result.values["fid"].value > result.values["fid"].real
    assert "torch-fidelity 0.4.0" in result.protocol["extractor"]
    assert "299" in result.protocol["resize"]


def test_missing_weights_are_explained(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, NoWeights)
    with pytest.raises(DataError, match=r"no network.*downloads its weights to .*checkpoints; you can also put"):
        FID().measure(workshop.context(workshop.good.images))


def test_a_missing_extra_is_explained(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    reason = FID().inapplicable_reason(workshop.context(workshop.good.images))
    assert reason == "needs Inception's features; install them with: pip install 'ganzoo-core[inception]'"


def test_too_few_images_span_no_2048_dimensions(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Extractor)
    assert "needs at least 2,048 samples" in str(
        FID().inapplicable_reason(workshop.context(np.asarray(workshop.good.images)))
    )
