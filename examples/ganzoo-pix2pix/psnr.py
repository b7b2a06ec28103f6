"""PSNR of a run of pix2pix on held-out images of a mosaic, beside bicubic upsampling: python psnr.py RUN [COUNT]."""

from __future__ import annotations

import sys

import torch.nn.functional as F
from torch import Tensor

import ganzoo
from ganzoo.api import translate
from ganzoo.training.run import Run


def psnr(found: Tensor, expected: Tensor) -> float:
    """The peak signal-to-noise ratio in dB, averaged over images uint8 [N, C, H, W]."""
    error = ((found.float() - expected.float()) / 255).square().flatten(1).mean(dim=1)
    return float((-10 * error.log10()).mean())


def upsample(mosaic: Tensor) -> Tensor:
    """The blocks of mosaics uint8 [N, C, S, S] as single pixels, upsampled to S again; bounds show in some image."""
    size = mosaic.shape[-1]
    same = (mosaic[..., 1:] == mosaic[..., :-1]).flatten(0, -2).all(dim=0)
    block = next(at for at in range(1, size) if not same[at - 1])
    pixels = mosaic[..., ::block, ::block].float()
    return F.interpolate(pixels, (size, size), mode="bicubic").round().clamp(0, 255)


if __name__ == "__main__":
    run = Run.open(sys.argv[1])
    made = translate(ganzoo.load(run.path), run, int(sys.argv[2]) if len(sys.argv) > 2 else 2000)
    rows = {"mosaic": made["inputs"], "bicubic": upsample(made["inputs"]), "pix2pix": made["images"]}
    for name, images in rows.items():
        print(f"{name:8} {psnr(images, made['targets']):.2f} dB")
