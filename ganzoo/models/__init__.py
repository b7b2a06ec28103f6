"""Trained models as packages: writing one from a run. `ganzoo.core.models` finds installed ones."""

from ganzoo.models.pack import pack

__all__ = ["pack"]
