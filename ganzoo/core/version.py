"""The version of ganzoo."""

__version__ = "0.1.0"
