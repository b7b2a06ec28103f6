"""How near images made from input images come to the true ones, beside what needs no learning."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.data import imaging
from ganzoo.evaluation.context import Need, Subject
from ganzoo.evaluation.metric import Figure, Finding, Metric

COLUMNS = 10


class PSNR(Metric):
    name = "psnr"
    summary = "peak signal-to-noise ratio, in dB, of outputs for inputs that were held out, against their targets"
    paper = "Wang and Bovik 2009, Mean Squared Error: Love It or Leave It?"
    needs = (Need.IMAGES, Need.PAIRS)

    def measure(self, subject: Subject) -> Finding:
        inputs, targets = subject.pairs
        outputs = torch.from_numpy(subject.samples.images)
        found = decibels(outputs, targets)
        others = {"inputs": decibels(inputs, targets)} if inputs.shape == targets.shape else {}
        block = blocks(inputs)
        if others and block > 1:
            others[f"their blocks of {block}, bicubic"] = decibels(upsampled(inputs, block), targets)
        compared = "".join(f"; {name}: {value:.2f} dB" for name, value in others.items())
        shown = imaging.interleave([images[:COLUMNS] for images in (inputs, outputs, targets)], COLUMNS)
        protocol = subject.protocol(peak=255, exact="as if one value were off by 1", resize="none")
        return Finding(
            {self.name: Figure(found, "higher")},
            protocol,
            details=others,
            verdict=f"PSNR of outputs: {found:.2f} dB{compared}.",
            pictures={self.name: imaging.grid(shown, COLUMNS)},
        )


def decibels(found: Tensor, expected: Tensor) -> float:
    """The peak signal-to-noise ratio in dB, averaged over images uint8 [N, C, H, W].

    Equal images would have an infinite one: they count as if one value of the image were off by 1.
    """
    error = (found.float() - expected.float()).square().flatten(1)
    floor = 1 / error.shape[1]
    return float((10 * (255**2 / error.mean(dim=1).clamp_min(floor)).log10()).mean())


def blocks(images: Tensor) -> int:
    """The side of the square blocks of equal pixels that all of these images [N, C, S, S] consist of, at least 1."""
    size = images.shape[-1]
    changes = (images[..., 1:] != images[..., :-1]).flatten(0, -2).any(dim=0).nonzero()
    block = int(changes[0]) + 1 if len(changes) else size
    return block if torch.equal(_repeated(images[..., ::block, ::block], block, size), images) else 1


def upsampled(images: Tensor, block: int) -> Tensor:
    """Images uint8 [N, C, S, S] of such blocks, their pixels brought back to S by bicubic interpolation."""
    size = images.shape[-1]
    pixels = images[..., ::block, ::block].float()
    whole = F.interpolate(pixels, scale_factor=block, mode="bicubic")  # the last blocks may be cut
    return whole[..., :size, :size].round().clamp(0, 255).to(images.dtype)


def _repeated(pixels: Tensor, block: int, size: int) -> Tensor:
    return pixels.repeat_interleave(block, -2).repeat_interleave(block, -1)[..., :size, :size]
