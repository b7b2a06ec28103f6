"""A GAN: its networks, losses and optimizers. `Architecture.build` returns one."""

from ganzoo.gan.auxiliary import AuxiliaryGAN
from ganzoo.gan.base import GAN
from ganzoo.gan.build import build, channels_last
from ganzoo.gan.condition import Condition, condition_of, map_condition
from ganzoo.gan.image_pool import ImagePool
from ganzoo.gan.sampling import evaluating
from ganzoo.gan.step import Logs, MicroBatch, Player, StepContext, Update

Signals = Logs
"""Alias for plugins of api_version 1."""

__all__ = [
    "GAN",
    "AuxiliaryGAN",
    "Condition",
    "ImagePool",
    "Logs",
    "MicroBatch",
    "Player",
    "Signals",
    "StepContext",
    "Update",
    "build",
    "channels_last",
    "condition_of",
    "evaluating",
    "map_condition",
]
