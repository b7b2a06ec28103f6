"""The latent space of a trained GAN, for any architecture that generates from noise.

from ganzoo import latents
gan = ganzoo.load("runs/cgan-mnist-001")
points = latents.of_seeds(gan, [1, 7, 9], labels=[3, 3, 8])   # what `ganzoo sample --count 1 --seed 1 ...` draws
images = latents.render(gan, latents.walk(points, frames=120))  # uint8 [120, C, S, S]
"""

from __future__ import annotations

from ganzoo.latents.arithmetic import combine, mean, neighbours
from ganzoo.latents.directions import Directions, along, class_means, ganspace, sefa
from ganzoo.latents.interpolation import between, corners, lerp, slerp, walk
from ganzoo.latents.projection import Projection, discriminator_features, project, psnr
from ganzoo.latents.selection import (
    Calibrated,
    Selection,
    best,
    calibrate,
    metropolis_hastings,
    own_score,
    rejection,
)
from ganzoo.latents.space import Latents, as_sampling, generate, of_seeds, render, require_latent, sample

__all__ = [
    "Calibrated",
    "Directions",
    "Latents",
    "Projection",
    "Selection",
    "along",
    "as_sampling",
    "best",
    "between",
    "calibrate",
    "class_means",
    "combine",
    "corners",
    "discriminator_features",
    "ganspace",
    "generate",
    "lerp",
    "mean",
    "metropolis_hastings",
    "neighbours",
    "of_seeds",
    "own_score",
    "project",
    "psnr",
    "rejection",
    "render",
    "require_latent",
    "sample",
    "sefa",
    "slerp",
    "walk",
]
