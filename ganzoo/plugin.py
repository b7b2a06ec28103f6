"""The contract between ganzoo and its plugins: public names of `ganzoo.core.plugin` and `ganzoo.core.spec`."""

from ganzoo.core.plugin import (
    API_VERSION,
    Architecture,
    AugmentationName,
    Backbone,
    BackboneConfig,
    Config,
    ConvolutionalConfig,
    Dataset,
    LossName,
    Networks,
    NormName,
    OptimizerName,
    PenaltyName,
    Preset,
    Sampling,
    Variants,
)
from ganzoo.core.spec import DataKind, DataLocation, DataSpec, Split

__all__ = [
    "API_VERSION",
    "Architecture",
    "AugmentationName",
    "Backbone",
    "BackboneConfig",
    "Config",
    "ConvolutionalConfig",
    "DataKind",
    "DataLocation",
    "DataSpec",
    "Dataset",
    "LossName",
    "Networks",
    "NormName",
    "OptimizerName",
    "PenaltyName",
    "Preset",
    "Sampling",
    "Split",
    "Variants",
]
