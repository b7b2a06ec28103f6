"""Training that begins with the weights of another run or model, and layers that stay as they are (Mo et al. 2020)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ganzoo.core import distributed
from ganzoo.core.errors import CheckpointError, UsageError, did_you_mean
from ganzoo.core.files import check_regular, sha256
from ganzoo.core.paths import is_url
from ganzoo.gan import GAN
from ganzoo.training import checkpoint
from ganzoo.training.config import frozen_counts
from ganzoo.training.ema import EMA, AveragedNetworks
from ganzoo.training.loading import newest_checkpoint
from ganzoo.training.run import Run

PARAMETRIZED = ".parametrizations."
"""What torch puts between the names of a layer and of a weight that it computes, as for spectral norm."""
SHOWN = 4


@dataclass(frozen=True)
class Origin:
    """The checkpoint of another training that a new one begins with. `sha256` is that of its model.safetensors.

    `name` is the option's, as config.json holds it.
    """

    name: str
    run: Run
    path: Path
    sha256: str

    @classmethod
    def open(cls, name: str) -> Origin:
        """The best checkpoint of the run or model called `name` if it keeps one, else its newest intact one.

        UsageError if there is no such run or model, CheckpointError if no checkpoint is intact.
        """
        run = Run.open(name)
        path = distributed.on_rank0(lambda: newest_checkpoint(run, best=run.best.is_dir()))
        return cls(name, run, path, sha256(path / "model.safetensors"))

    def give(self, gan: GAN, architecture: str) -> dict[str, Any]:
        """Copy the layers that `gan`, of this `architecture`, shares into it. Returns what config.json keeps about it.

        A layer is shared if its tensors have the same names and shapes in both. UsageError if there is none.
        """
        taken, left = copy_layers(gan.state_dict(), self._tensors("model"))
        if not taken:
            mine, theirs = ("x".join(map(str, spec.shape)) for spec in (gan.spec, self.run.spec))
            raise UsageError(
                f"Nothing of {self.run.label} fits: no layer of its networks ({self.run.config['architecture']} for "
                f"{theirs}) has the name and shape of one of these ({architecture} for {mine}). Choose its "
                "architecture, settings and image size."
            )
        return {
            "name": self.name,
            "step": checkpoint.step_of(self.path),
            "sha256": self.sha256,
            "taken": taken,
            "left": left,
        }

    def give_averages(self, averages: Mapping[str, EMA]) -> None:
        """Copy the moving averages of shared layers; those of other layers stay."""
        networks = {name: average.network for name, average in averages.items()}
        copy_layers(AveragedNetworks(networks).state_dict(), self._tensors("ema"))

    def _tensors(self, name: str) -> dict[str, Tensor]:
        file = self.path / f"{name}.safetensors"
        try:
            check_regular(file)
            tensors = load_file(file)
        except (OSError, SafetensorError) as failure:
            raise CheckpointError(f"{file} cannot be read: {failure}") from failure
        broken = next((key for key, tensor in tensors.items() if not tensor.isfinite().all()), None)
        if broken is not None:
            raise CheckpointError(f"{file} cannot be used: {broken} has values that are not finite.")
        return tensors


@torch.no_grad()
def copy_layers(into: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Copy every layer of `into` that `tensors` has with the same names and shapes. Returns names: copied, left."""
    own, other = _by_layer(into), _by_layer(tensors)
    copied: list[str] = []
    for layer, names in own.items():
        if names == other.get(layer) and all(into[name].shape == tensors[name].shape for name in names):
            for name in names:
                into[name].copy_(tensors[name])
            copied.append(layer)
    return copied, [layer for layer in own if layer not in copied]


def freeze(gan: GAN, text: str | None) -> list[str]:
    """Exclude the parameters of layers from training: `discriminator:2` means its first two. Returns their names.

    Layers are those with parameters, in the order in which the network declares them. Statistics of batch norm are no
    parameters, and go on. UsageError if there is no such network, or nothing of it would be left to train.
    """
    networks = {name: module for name, module in gan.named_children() if any(True for _ in module.parameters())}
    frozen = []
    for name, count in frozen_counts(text).items():
        if name not in networks:
            raise UsageError(f"freeze={text}: there is no network {name!r}. {did_you_mean(name, networks)}")
        parameters = dict(networks[name].named_parameters())
        layers = list(_by_layer(parameters))
        if not 0 < count < len(layers):
            raise UsageError(
                f"freeze={text}: the {name} has {len(layers)} layers with parameters "
                f"({', '.join(layers)}). Freeze {'1' if len(layers) == 2 else f'1 to {len(layers) - 1}'} of them."
                if len(layers) > 1
                else f"freeze={text}: the {name} has a single layer with parameters, which has to train."
            )
        for key, parameter in parameters.items():
            if _layer_of(key) in layers[:count]:
                parameter.requires_grad_(False)
        frozen += [f"{name}.{layer}" for layer in layers[:count]]
    return frozen


def resolved(name: str | None, recorded: str | None) -> str | None:
    """How config.json names the origin `name`: a model by its name, a run by its path. `recorded` if it is that one."""
    if name is None or is_url(name):
        return name
    path = os.path.abspath(os.path.expanduser(name))
    if recorded is not None and recorded in (name, path):
        return recorded
    return Run.open(name).model or path


def describe(record: Mapping[str, Any]) -> str:
    """One or two sentences about the record of a warm start in config.json."""
    taken, left, frozen = record["taken"], record["left"], record["frozen"]
    networks = dict.fromkeys(layer.partition(".")[0] for layer in (*taken, *left))
    counts = [f"{_count(taken, name)} of {_count((*taken, *left), name)} layers of the {name}" for name in networks]
    text = f"Weights are taken from {record['name']}, step {record['step']:,}: {', '.join(counts)}."
    if left:
        text += f" Not there, or of another shape: {_listed(left)}."
    return text + (f" Frozen: {_listed(frozen)}." if frozen else "")


def _by_layer(tensors: Iterable[str]) -> dict[str, set[str]]:
    """The names of tensors by the layer that they belong to, in the order in which they are declared."""
    layers: dict[str, set[str]] = {}
    for name in tensors:
        layers.setdefault(_layer_of(name), set()).add(name)
    return layers


def _layer_of(name: str) -> str:
    layer, parametrized, _ = name.partition(PARAMETRIZED)
    return layer if parametrized else name.rpartition(".")[0]


def _count(layers: Iterable[str], network: str) -> int:
    return sum(layer.partition(".")[0] == network for layer in layers)


def _listed(layers: list[str]) -> str:
    more = len(layers) - SHOWN
    return ", ".join(layers[:SHOWN]) + (f" and {more} more" if more > 0 else "")
