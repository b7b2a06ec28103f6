"""Public names of `ganzoo.core.config`, for plugin packages."""

from ganzoo.core.config import Setting, make, setting, settings, to_dict

__all__ = ["Setting", "make", "setting", "settings", "to_dict"]
