"""A GAN: its networks, losses and optimizers. `Architecture.build` returns one."""

from ganzoo.gan.auxiliary import AuxiliaryGAN
from ganzoo.gan.base import GAN
from ganzoo.gan.build import build
from ganzoo.gan.sampling import evaluating
from ganzoo.gan.step import Logs, MicroBatch, Player, StepContext, Update

Signals = Logs
"""Alias for plugins of api_version 1."""

__all__ = [
    "GAN",
    "AuxiliaryGAN",
    "Logs",
    "MicroBatch",
    "Player",
    "Signals",
    "StepContext",
    "Update",
    "build",
    "evaluating",
]
