"""FID with a stand-in for torch-fidelity, whose real weights are a download."""

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
    """Called as torch-fidelity's: uint8 RGB in, a tuple of features out."""

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
    monkeypatch.setattr(FID, "least", 100)
    subject = workshop.subject(noisy(workshop.good.images))
    assert FID().why_not(subject) is None
    found = FID().measure(subject)
    extractor = Extractor("inception-v3-compat", ["2048"])
    sides = [inception.inception_features(extractor, pool.images) for pool in (subject.samples, subject.reference)]
    assert found.figures["fid"].value == pytest.approx(frechet_distance(*sides))
    assert found.figures["fid"].real is not None
    assert found.figures["fid"].value > found.figures["fid"].real
    assert "torch-fidelity 0.4.0" in found.protocol["extractor"]
    assert "299" in found.protocol["resize"]


def test_without_weights_it_says_where_they_go(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, NoWeights)
    with pytest.raises(DataError, match=r"no network.*downloads its weights to .*checkpoints; they can be put there"):
        FID().measure(workshop.subject(workshop.good.images))


def test_without_the_extra_it_says_how_to_install_it(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    why = FID().why_not(workshop.subject(workshop.good.images))
    assert why == "needs Inception's features, which come with: pip install 'ganzoo-core[inception]'"


def test_too_few_images_span_no_2048_dimensions(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Extractor)
    assert "needs at least 2,048 samples" in str(FID().why_not(workshop.subject(np.asarray(workshop.good.images))))
