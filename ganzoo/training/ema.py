"""The moving average of the generator, from which samples are drawn."""

from __future__ import annotations

import copy

import torch
from torch import nn


class EMA:
    """Exponential moving average of a network's parameters and buffers, its half-life counted in images.

    The half-life ramps up as a twentieth of the images seen, so that the random initial weights are soon forgotten
    (Karras et al. 2020, arXiv:1912.04958, use such a ramp). A half-life of 0 makes it a plain copy.
    """

    RAMP = 0.05

    def __init__(self, network: nn.Module, half_life: int):
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life = half_life
        source, target = network.state_dict(keep_vars=True), self.network.state_dict(keep_vars=True)
        pairs = [(target[k].detach(), source[k].detach()) for k in source]
        self._averaged = [pair for pair in pairs if pair[1].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[1].is_floating_point()]

    @torch.no_grad()
    def update(self, images_seen: int, batch_size: int) -> None:
        """Average in the network's current weights, `batch_size` images after the last update."""
        half_life = min(self.half_life, images_seen * self.RAMP)
        decay = 0.5 ** (batch_size / half_life) if half_life > 0 else 0.0
        targets, sources = zip(*self._averaged)
        torch._foreach_lerp_(targets, sources, 1 - decay)
        if self._copied:
            targets, sources = zip(*self._copied)
            torch._foreach_copy_(targets, sources)
