"""Building the GAN of an architecture."""

from __future__ import annotations

import traceback

import torch

from ganzoo.core import plugin_file
from ganzoo.core.errors import GanzooError, PluginError
from ganzoo.core.plugin import Config
from ganzoo.core.registry import Entry
from ganzoo.core.spec import DataSpec
from ganzoo.gan.base import GAN
from ganzoo.gan.packing import pack


def build(entry: Entry, config: Config, spec: DataSpec) -> GAN:
    """Build the GAN of the architecture `entry` for `spec`.

    Raises PluginError, with the plugin's name and the traceback, if its code fails or returns something else.
    """
    gan = _built(entry, config, spec)
    if config.pack > 1:
        pack(gan, lambda packed: _built(entry, config, packed))
    gan.sampling_type = entry.card.Sampling
    return gan


def _built(entry: Entry, config: Config, spec: DataSpec) -> GAN:
    try:
        gan: object = entry.card.build(config, spec)
    except GanzooError:
        raise
    except Exception as failure:  # third-party code may raise anything
        raise PluginError(
            f"{_origin(entry)} could not build its networks for {spec}.\n\n{traceback.format_exc().rstrip()}"
        ) from failure
    if not isinstance(gan, GAN):
        raise PluginError(f"{_origin(entry)}: {not_a_gan(gan)}")
    return gan


def _origin(entry: Entry) -> str:
    if entry.distribution == plugin_file.DISTRIBUTION:
        return entry.target
    return f"{entry.name} from {entry.distribution} {entry.version}"


def channels_last(gan: GAN, device: str | torch.device | None = None) -> GAN:
    """Move `gan` to the device, its weights of two-dimensional convolutions in the channels_last format; returns it.

    `Module.to` would refuse the weights of three-dimensional convolutions.
    """
    gan.to(device)
    for tensor in (*gan.parameters(), *gan.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return gan


def not_a_gan(value: object) -> str:
    """Error message for a `build()` that returned `value`."""
    return f"build() returns a {type(value).__name__}, expected ganzoo.GAN(generator, discriminator, config, spec)"
