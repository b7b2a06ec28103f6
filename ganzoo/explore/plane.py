"""A GAN of points in the plane as arrays to draw. All coordinates are those that networks see, in [-1, 1]."""

from __future__ import annotations

import base64
import contextlib
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganzoo import data
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataLocation, DataSpec
from ganzoo.data import PointData
from ganzoo.data.imaging import MARGIN
from ganzoo.data.points import Mixture
from ganzoo.evaluation.metrics.optimal import DensityRatio
from ganzoo.gan import GAN, Condition, evaluating
from ganzoo.losses import get_loss
from ganzoo.training.checkpoint import PREFIX
from ganzoo.training.loading import load_checkpoint, newest_checkpoint
from ganzoo.training.run import Run

SAMPLES = 400
ARROWS = 120
"""Samples that carry an arrow, the first ones."""
SURFACE = 40
"""D's surface is computed on this many points a side."""
OPTIMAL_SURFACE = 100
OPTIMAL_SAMPLES = 4000
MESH = 21
"""Lines of the manifold grid in each direction."""
SEED = 0


@dataclass(frozen=True)
class Plane:
    """What stays the same while a GAN trains: noise, real points, and the grid on which D is evaluated.

    `spec` is that of the networks; the points of `data` are divided by its scale.
    """

    spec: DataSpec
    real: Tensor
    mixture: Mixture | None
    z: Tensor
    mesh: Tensor
    centres: Tensor
    many: Tensor
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(SEED))

    @classmethod
    def of(cls, gan: GAN, examples: PointData) -> Plane:
        """The plane of `gan`, which trains on `examples`."""
        rng = torch.Generator(gan.device).manual_seed(SEED)
        points = torch.from_numpy(examples.points[:OPTIMAL_SAMPLES]).to(gan.device) / gan.spec.scale
        z = gan.latent(SAMPLES, rng)
        return cls(
            gan.spec, points, examples.mixture, z, _mesh(z.shape[1]).to(z), pixel_centres(SURFACE).to(gan.device),
            gan.latent(OPTIMAL_SAMPLES, rng),
        )  # fmt: skip

    @property
    def description(self) -> dict[str, Any]:
        """What the page needs once: sizes, and the real points."""
        return {
            "margin": MARGIN, "scale": self.spec.scale, "surface": SURFACE, "optimal_surface": OPTIMAL_SURFACE,
            "mesh": MESH, "real": encode(self.real[: 2 * SAMPLES, :2]), "density": self.mixture is not None,
        }  # fmt: skip

    def snapshot(self, gan: GAN) -> dict[str, Any]:
        """Samples, the directions in which the generator's loss moves them, D's surface and the manifold grid.

        Changes nothing of `gan`: no buffers, no gradients of its parameters, no random state.
        """
        with evaluating(gan):
            with torch.no_grad():
                condition = _condition(gan, SAMPLES)
                samples = gan.generate(self.z, condition).float()
                mesh = gan.generate(self.mesh, _condition(gan, len(self.mesh))).float()
                flat = samples.shape[1] == 2
                surface = self._surface(gan) if flat and gan.config.pack == 1 else {}
            arrows = self._arrows(gan, samples, condition)
        return {
            "samples": encode(samples[:, :2]), "mesh": encode(mesh[:, :2]), "arrows": encode(arrows[:, :2]), **surface
        }  # fmt: skip

    def optimal(self, gan: GAN) -> dict[str, Any]:
        """D* = p/(p+q) of the present generator, and the Jensen-Shannon divergence; empty if p is not known."""
        if self.mixture is None or self.spec.channels != 2:
            return {}
        with torch.no_grad(), evaluating(gan):
            samples = gan.generate(self.many, _condition(gan, OPTIMAL_SAMPLES)).float()
        scale = self.spec.scale
        values = samples.cpu().double().numpy() * scale
        ratio = DensityRatio(self.mixture, values)
        share = ratio.discriminator(pixel_centres(OPTIMAL_SURFACE).double().numpy() * scale, 1e-3)
        jsd = ratio.divergence(self.real.cpu().double().numpy() * scale, self.rng)
        shown = np.where(np.isnan(share), 0, 1 + 254 * np.nan_to_num(share))
        return {"optimal": encode(shown.round().astype(np.uint8)), "jsd": round(jsd, 4)}

    def _surface(self, gan: GAN) -> dict[str, Any]:
        """D on the plane: bytes 0 (generated) to 255 (real)."""
        logits = gan.discriminator(self.centres, _condition(gan, len(self.centres))).float()
        logits = logits.reshape(len(self.centres), -1).mean(1)
        if get_loss(gan.config.loss).probability:
            share = logits.sigmoid()
        else:  # scores have no zero of their own: show what lies between the outer twentieths
            low, high = logits.quantile(0.05), logits.quantile(0.95)
            share = (logits - low) / (high - low).clamp(min=1e-12)
        pixels = share.nan_to_num(0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
        return {"surface": encode(pixels)}

    def _arrows(self, gan: GAN, samples: Tensor, condition: Tensor | None) -> Tensor:
        """The direction of steepest descent of the generator's loss at the first samples, the longest of length 1."""
        fake = samples[:ARROWS].clone().requires_grad_()
        given = None if condition is None else condition[:ARROWS]
        with contextlib.suppress(AttributeError, RuntimeError):  # a plugin's loss may need the step it is part of
            with torch.enable_grad():
                loss, _ = gan.generator_loss(self.real[:ARROWS], fake, given)
                (gradient,) = torch.autograd.grad(loss, fake)
            lengths = gradient.norm(dim=1, keepdim=True)
            directions: Tensor = (-gradient / lengths.max().clamp(min=1e-12)).nan_to_num(0)
            return directions
        return torch.zeros_like(fake).detach()


def plane_of(run: Run) -> dict[str, Any]:
    """The plane of the newest checkpoint of `run`, whose generator is the moving average: description and picture.

    Raises UsageError if the run does not generate points, or its data are not on this machine.
    """
    name, where = run.config["dataset"]["name"], DataLocation.find(run.config["data_dir"])
    if run.spec.kind != "points":
        raise UsageError("This run generates no points.")
    if not data.on_disk(name, where):
        raise UsageError(f"The points that this run was trained on are not on this machine: {name}.")
    points = data.open(name, data_dir=run.config["data_dir"])
    if not isinstance(points, PointData):
        raise UsageError(f"{name} no longer has points.")
    checkpoint = newest_checkpoint(run)
    gan = load_checkpoint(run, checkpoint, "cpu")
    plane = Plane.of(gan, points)
    picture = {**plane.snapshot(gan), **plane.optimal(gan), "step": int(checkpoint.name.removeprefix(PREFIX))}
    return {"plane": plane.description, "picture": picture}


def encode(values: Tensor | npt.NDArray[Any]) -> str:
    """An array as text: its bytes, in base64; floats as float32."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def pixel_centres(side: int) -> Tensor:
    """The points at which a picture of the plane is evaluated, row by row from the top, float32 [side * side, 2]."""
    axis = ((torch.arange(side) + 0.5) / side * 2 - 1) * MARGIN
    y, x = torch.meshgrid(-axis, axis, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def _mesh(latent_dim: int) -> Tensor:
    """Noise on a grid, each cell of which has the same probability, in the first two dimensions; the others are 0."""
    quantiles = (torch.arange(MESH) + 0.5) / MESH
    axis = math.sqrt(2) * torch.erfinv(2 * quantiles - 1)
    z = torch.zeros(MESH * MESH, latent_dim)
    z[:, :2] = torch.cartesian_prod(axis, axis)[:, :latent_dim]
    return z


def _condition(gan: GAN, n: int) -> Condition:
    labels = gan.class_labels(n)
    rng = torch.Generator(gan.device).manual_seed(SEED)
    return gan.condition(None if labels is None else labels.to(gan.device), n, rng)
