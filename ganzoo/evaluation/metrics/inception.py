"""FID and KID in the features of Inception v3, with torch-fidelity and its weights."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganzoo.core.errors import DataError
from ganzoo.evaluation.context import EvaluationContext
from ganzoo.evaluation.metric import Metric, MetricResult, MetricValue
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
    min_samples = FEATURES
    default = False

    def measure(self, context: EvaluationContext) -> MetricResult:
        extractor = load_inception().to(context.device)
        reference = inception_features(extractor, context.reference.images)
        distances = self._distances(context, inception_features(extractor, context.samples.images), reference)
        real: dict[str, float] = {}
        if context.control is not None:
            images = context.control.first(len(context.samples)).images
            real = self._distances(context, inception_features(extractor, images), reference)
        version = importlib.metadata.version("torch-fidelity")
        protocol = context.protocol(
            extractor=f"Inception v3 (inception-v3-compat) of torch-fidelity {version}, {FEATURES} features",
            resize="to 299, bilinear as in TensorFlow 1", grey="repeated three times", subsets=SUBSETS,
            subset_size=SUBSET_SIZE,
        )  # fmt: skip
        values = {name: MetricValue(value, "lower", real.get(name)) for name, value in distances.items()}
        return MetricResult(values, protocol)

    def inapplicable_reason(self, context: EvaluationContext) -> str | None:
        if importlib.util.find_spec("torch_fidelity") is None:
            return "needs Inception's features; install them with: pip install 'ganzoo-core[inception]'"
        reason = super().inapplicable_reason(context)
        channels = 1 if reason else context.reference.first(1).images.shape[1]
        return reason or (
            None if channels in (1, 3) else f"needs grey or RGB images, but these have {channels} channels"
        )

    def _distances(self, context: EvaluationContext, features: Tensor, reference: Tensor) -> dict[str, float]:
        size = min(SUBSET_SIZE, len(features), len(reference))
        kid, _ = kernel_distance(features, reference, SUBSETS, size, context.rng(self.name))
        return {"fid": frechet_distance(features, reference), "kid_inception": kid}


def load_inception() -> Any:
    """Load torch-fidelity's Inception, whose weights are downloaded once. Raises DataError if it cannot be loaded."""
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        return FeatureExtractorInceptionV3("inception-v3-compat", [str(FEATURES)]).eval()
    except (OSError, ImportError, RuntimeError, ValueError) as error:  # URLError is an OSError; torchvision may not fit
        raise DataError(
            f"Inception cannot be loaded ({type(error).__name__}: {error}). torch-fidelity downloads its weights to "
            f"{torch.hub.get_dir()}/checkpoints; you can also put them there by hand. No other metric needs them."
        ) from None


@torch.no_grad()
def inception_features(extractor: Any, images: np.ndarray) -> Tensor:
    """Return features float32 [N, 2048] of images uint8 [N, 1 or 3, S, S]."""
    device = next(extractor.parameters()).device
    rgb = np.broadcast_to(images, (len(images), 3, *images.shape[2:]))
    parts = [extractor(torch.tensor(rgb[i : i + CHUNK]).to(device))[0] for i in range(0, len(images), CHUNK)]
    return torch.cat(parts)
