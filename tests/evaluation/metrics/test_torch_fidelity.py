"""The distances are those of torch-fidelity on the same features, to a thousandth.

Only its metrics are loaded, which need neither torchvision nor weights: `pip install --no-deps torch-fidelity tqdm`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any

import pytest
import torch
from torch import Tensor

from ganzoo.evaluation.metrics.coverage import manifold_scores
from ganzoo.evaluation.metrics.frechet import frechet_distance
from ganzoo.evaluation.metrics.kid import unbiased_mmd

SPEC = importlib.util.find_spec("torch_fidelity")
REASON = "not installed: pip install --no-deps torch-fidelity tqdm"
pytestmark = pytest.mark.skipif(SPEC is None or importlib.util.find_spec("tqdm") is None, reason=REASON)
RELATIVE = 1e-3


@pytest.fixture
def fidelity(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that loads a module of torch-fidelity without its feature extractors, which need torchvision."""
    assert SPEC is not None
    package, utils = types.ModuleType("torch_fidelity"), types.ModuleType("torch_fidelity.utils")
    package.__path__ = list(SPEC.submodule_search_locations or ())
    utils.__getattr__ = lambda name: None  # type: ignore[method-assign]
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch_fidelity"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    monkeypatch.setitem(sys.modules, "torch_fidelity.utils", utils)
    yield lambda name: importlib.import_module(f"torch_fidelity.{name}")
    for name in [name for name in sys.modules if name.startswith("torch_fidelity.")]:
        sys.modules.pop(name)


def features(seed: int, count: int, dimensions: int = 64) -> Tensor:
    """Features like those of a classifier: correlated, not negative, and of different mean for each seed."""
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimensions, dimensions, generator=torch.Generator().manual_seed(0)) / dimensions**0.5
    return (torch.randn(count, dimensions, generator=rng) @ mixing + 0.1 * seed).relu()


def test_the_frechet_distance(fidelity: Any) -> None:
    module = fidelity("metric_fid")
    for other in (1, 3):
        a, b = features(0, 700), features(other, 500)
        theirs = module.fid_statistics_to_metric(*map(module.fid_features_to_statistics, (a, b)), verbose=False)
        assert frechet_distance(a, b) == pytest.approx(theirs[module.KEY_METRIC_FID], rel=RELATIVE)


def test_the_kernel_distance(fidelity: Any) -> None:
    module = fidelity("metric_kid")
    a, b = features(0, 400), features(2, 400)
    options = {"kid_subsets": 1, "kid_subset_size": 400, "verbose": False}
    theirs = module.kid_features_to_metric(a, b, **options)[module.KEY_METRIC_KID_MEAN]
    assert float(unbiased_mmd(a.double(), b.double())) == pytest.approx(theirs, rel=RELATIVE)


def test_precision_and_recall(fidelity: Any) -> None:
    module = fidelity("metric_prc")
    fake, real = features(1, 500), features(0, 500)
    theirs = module.prc_features_to_metric(fake, real, prc_neighborhood=3, verbose=False)
    ours = manifold_scores(real, fake, 3)
    for name, key in (("precision", module.KEY_METRIC_PRECISION), ("recall", module.KEY_METRIC_RECALL)):
        assert ours[name] == pytest.approx(theirs[key], abs=RELATIVE)
        assert 0.05 < ours[name] < 0.95
