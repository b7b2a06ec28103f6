"""A GAN: its networks and the rules by which they train. What `Architecture.build` returns and the trainer trains."""

from ganzoo.gan.auxiliary import AuxiliaryGAN
from ganzoo.gan.base import GAN, Logs, evaluating
from ganzoo.gan.build import build

Signals = Logs
"""The name that plugins for api_version 1 may use."""

__all__ = ["GAN", "AuxiliaryGAN", "Logs", "Signals", "build", "evaluating"]
