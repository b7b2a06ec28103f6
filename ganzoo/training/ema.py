"""Moving averages of networks, from which samples are drawn."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

RUNNING_STATISTICS = ("running_mean", "running_var")
"""The names of the averaged buffers, as torch's normalisation layers call them."""


class EMA:
    """Exponential moving average of a network, its half-life counted in images.

    Parameters are averaged, and so are the running statistics of batch norm, which belong to the averaged weights. All
    other buffers are copied: the average of counters, or of spectral norm's unit vectors, would mean nothing.

    The half-life ramps up as a twentieth of the images seen, so that the random initial weights are soon forgotten
    (Karras et al. 2020, arXiv:1912.04958, use such a ramp). A half-life of 0 makes it a plain copy.
    """

    RAMP = 0.05

    def __init__(self, network: nn.Module, half_life: int):
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life = half_life
        source, target = network.state_dict(keep_vars=True), self.network.state_dict(keep_vars=True)
        averaged = [name for name, tensor in source.items() if _is_averaged(name, tensor)]
        pairs = {name: (target[name].detach(), source[name].detach()) for name in source}
        self._averaged = [pairs[name] for name in averaged]
        self._copied = [pairs[name] for name in source if name not in averaged]

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


def _is_averaged(name: str, tensor: Tensor) -> bool:
    running = name.rpartition(".")[2] in RUNNING_STATISTICS
    return tensor.is_floating_point() and (running or isinstance(tensor, nn.Parameter))


class AveragedNetworks:
    """Networks as ema.safetensors holds them: the generator's tensors by name, those of others as `NETWORK/NAME`."""

    def __init__(self, networks: Mapping[str, nn.Module]):
        self.networks = networks

    def state_dict(self) -> dict[str, Tensor]:
        return {
            name if network == "generator" else f"{network}/{name}": tensor
            for network, module in self.networks.items()
            for name, tensor in module.state_dict().items()
        }

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the networks that `tensors` holds. RuntimeError if a tensor is missing, unknown or of another shape."""
        parts: dict[str, dict[str, Any]] = {"generator": {}}
        for key, tensor in tensors.items():
            network, slash, name = key.partition("/")
            known = slash and network in self.networks
            parts.setdefault(network if known else "generator", {})[name if known else key] = tensor
        for network, part in parts.items():
            self.networks[network].load_state_dict(part)
