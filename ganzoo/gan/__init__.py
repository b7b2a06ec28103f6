"""A GAN: its networks, losses and optimizers. `Architecture.build` returns one."""

from ganzoo.gan.auxiliary import AuxiliaryGAN
from ganzoo.gan.base import GAN, Logs, evaluating
from ganzoo.gan.build import build

Signals = Logs
"""Alias for plugins of api_version 1."""

__all__ = ["GAN", "AuxiliaryGAN", "Logs", "Signals", "build", "evaluating"]
