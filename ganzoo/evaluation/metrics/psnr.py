"""Peak signal-to-noise ratio of an image-to-image GAN's outputs, next to baselines that need no training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.core.spec import INPUT
from ganzoo.data import imaging
from ganzoo.data.modality import as_images
from ganzoo.evaluation.context import EvaluationContext, Need
from ganzoo.evaluation.metric import Metric, MetricResult, MetricValue

COLUMNS = 10


class PSNR(Metric):
    name = "psnr"
    summary = "peak signal-to-noise ratio, in dB, of the outputs for held-out inputs, against their targets"
    paper = "Wang and Bovik 2009, Mean Squared Error: Love It or Leave It?"
    needs = (Need.IMAGES, Need.PAIRS)

    def measure(self, context: EvaluationContext) -> MetricResult:
        spec = context.data.spec
        fields = spec.given[INPUT], spec.target
        inputs, targets = (
            torch.from_numpy(as_images(values.numpy(), field)) for values, field in zip(context.pairs, fields)
        )
        outputs = torch.from_numpy(context.samples.images)
        psnr = decibels(outputs, targets)
        baselines = {"inputs": decibels(inputs, targets)} if inputs.shape == targets.shape else {}
        if inputs.shape[:2] == targets.shape[:2] and inputs.shape != targets.shape:
            baselines["inputs, bicubic"] = decibels(enlarged(inputs, targets.shape[2:]), targets)
        block = block_size(inputs)
        if inputs.shape == targets.shape and block > 1:
            baselines[f"their blocks of {block}, bicubic"] = decibels(upsampled(inputs, block), targets)
        comparison = "".join(f"; {name}: {value:.2f} dB" for name, value in baselines.items())
        rows = imaging.interleave([images[:COLUMNS] for images in (inputs, outputs, targets)], COLUMNS)
        protocol = context.protocol(peak=255, exact="as if one value were off by 1", resize="none")
        return MetricResult(
            {self.name: MetricValue(psnr, "higher")},
            protocol,
            details=baselines,
            verdict=f"PSNR of outputs: {psnr:.2f} dB{comparison}.",
            pictures={self.name: imaging.grid(rows, COLUMNS)},
        )


def decibels(images: Tensor, targets: Tensor) -> float:
    """Return the mean peak signal-to-noise ratio, in dB, of images uint8 [N, C, H, W].

    The ratio of equal images would be infinite: it is computed as if one value of the image were off by 1.
    """
    error = (images.float() - targets.float()).square().flatten(1)
    floor = 1 / error.shape[1]
    return float((10 * (255**2 / error.mean(dim=1).clamp_min(floor)).log10()).mean())


def enlarged(images: Tensor, size: Sequence[int]) -> Tensor:
    """Images uint8 [N, C, h, w] interpolated to `size`, bicubic."""
    return F.interpolate(images.float(), tuple(size), mode="bicubic").round().clamp(0, 255).to(images.dtype)


def block_size(images: Tensor) -> int:
    """Return the side of the square blocks of equal pixels that all images [N, C, H, W] consist of; 1 if none do."""
    height, width = images.shape[2:]
    changes = (images[..., 1:] != images[..., :-1]).flatten(0, -2).any(dim=0).nonzero()
    block = int(changes[0]) + 1 if len(changes) else width
    return block if torch.equal(_repeated(images[..., ::block, ::block], block, height, width), images) else 1


def upsampled(images: Tensor, block: int) -> Tensor:
    """Replace the blocks of images uint8 [N, C, H, W] by the bicubic interpolation of their pixels."""
    height, width = images.shape[2:]
    pixels = images[..., ::block, ::block].float()
    larger = F.interpolate(pixels, scale_factor=block, mode="bicubic")  # the last blocks may be cropped
    return larger[..., :height, :width].round().clamp(0, 255).to(images.dtype)


def _repeated(pixels: Tensor, block: int, height: int, width: int) -> Tensor:
    return pixels.repeat_interleave(block, -2).repeat_interleave(block, -1)[..., :height, :width]
