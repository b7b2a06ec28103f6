"""FID and KID proper: in the features of Inception v3, where torch-fidelity and its weights are there."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganzoo.core.errors import DataError
from ganzoo.evaluation.context import Subject
from ganzoo.evaluation.metric import Figure, Finding, Metric
from ganzoo.evaluation.metrics.frechet import frechet_distance
from ganzoo.evaluation.metrics.kid import SUBSET_SIZE, SUBSETS, kernel_distance

FEATURES = 2048
CHUNK = 50


class FID(Metric):
    name = "fid"
    summary = (
        "FID and KID in Inception's features; needs pip install 'ganzoo-core[inception]' and a download of its weights"
    )
    paper = "Heusel et al. 2017, arXiv:1706.08500; Binkowski et al. 2018, arXiv:1801.01401"
    least = FEATURES
    by_default = False

    def measure(self, subject: Subject) -> Finding:
        extractor = load_inception().to(subject.device)
        reference = inception_features(extractor, subject.reference.images)
        found = self._figures(subject, inception_features(extractor, subject.samples.images), reference)
        real: dict[str, float] = {}
        if subject.control is not None:
            images = subject.control.first(len(subject.samples)).images
            real = self._figures(subject, inception_features(extractor, images), reference)
        version = importlib.metadata.version("torch-fidelity")
        protocol = subject.protocol(
            extractor=f"Inception v3 (inception-v3-compat) of torch-fidelity {version}, {FEATURES} features",
            resize="to 299, bilinear as in TensorFlow 1", grey="repeated three times", subsets=SUBSETS,
            subset_size=SUBSET_SIZE,
        )  # fmt: skip
        return Finding({name: Figure(value, "lower", real.get(name)) for name, value in found.items()}, protocol)

    def why_not(self, subject: Subject) -> str | None:
        if importlib.util.find_spec("torch_fidelity") is None:
            return "needs Inception's features, which come with: pip install 'ganzoo-core[inception]'"
        channels = subject.gan.spec.channels
        if channels not in (1, 3):
            return f"needs grey or RGB images, but these have {channels} channels"
        return super().why_not(subject)

    def _figures(self, subject: Subject, features: Tensor, reference: Tensor) -> dict[str, float]:
        size = min(SUBSET_SIZE, len(features), len(reference))
        kid, _ = kernel_distance(features, reference, SUBSETS, size, subject.rng(self.name))
        return {"fid": frechet_distance(features, reference), "kid_inception": kid}


def load_inception() -> Any:
    """torch-fidelity's Inception; its weights are downloaded once. DataError where it cannot be had."""
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        return FeatureExtractorInceptionV3("inception-v3-compat", [str(FEATURES)]).eval()
    except (OSError, ImportError, RuntimeError, ValueError) as why:  # URLError is an OSError; torchvision may be unfit
        raise DataError(
            f"Inception cannot be loaded ({type(why).__name__}: {why}). torch-fidelity downloads its weights to "
            f"{torch.hub.get_dir()}/checkpoints; they can be put there by hand. All other metrics do without."
        ) from None


@torch.no_grad()
def inception_features(extractor: Any, images: np.ndarray) -> Tensor:
    """Features float32 [N, 2048] of images uint8 [N, 1 or 3, S, S]."""
    device = next(extractor.parameters()).device
    rgb = np.broadcast_to(images, (len(images), 3, *images.shape[2:]))
    parts = [extractor(torch.tensor(rgb[i : i + CHUNK]).to(device))[0] for i in range(0, len(images), CHUNK)]
    return torch.cat(parts)
