"""ganzoo: generative adversarial networks behind a plugin registry.

    import ganzoo
    run = ganzoo.train("cgan", dataset="mnist", steps=2000)
    gan = ganzoo.load(run.path)
    images = gan.sample(16, labels=[3] * 16, seed=0)

Importing ganzoo imports neither torch nor numpy; both come in with the first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ganzoo.core.version import __version__

if TYPE_CHECKING:
    from ganzoo.api import architectures, datasets, train
    from ganzoo.core.plugin import Architecture, Config, Dataset
    from ganzoo.core.spec import DataSpec
    from ganzoo.evaluation import evaluate
    from ganzoo.exporting import export
    from ganzoo.gan import GAN

_HOMES = {
    "train": "ganzoo.api",
    "load": "ganzoo.training.loading",
    "architectures": "ganzoo.api",
    "datasets": "ganzoo.api",
    "evaluate": "ganzoo.evaluation",
    "export": "ganzoo.exporting",
    "Callback": "ganzoo.training.callbacks",
    "Run": "ganzoo.training.run",
    "GAN": "ganzoo.gan",
    "Architecture": "ganzoo.core.plugin",
    "Config": "ganzoo.core.plugin",
    "Dataset": "ganzoo.core.plugin",
    "DataSpec": "ganzoo.core.plugin",
}

__all__ = [
    "GAN",
    "Architecture",
    "Callback",
    "Config",
    "DataSpec",
    "Dataset",
    "Run",
    "__version__",
    "architectures",
    "datasets",
    "evaluate",
    "export",
    "load",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ganzoo' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
