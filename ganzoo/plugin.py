"""The contract between ganzoo and its plugins: public names of `ganzoo.core.plugin` and `ganzoo.core.spec`."""

from ganzoo.core.plugin import (
    API_VERSION,
    Architecture,
    AugmentationName,
    Config,
    ConvolutionalConfig,
    Dataset,
    LossName,
    NormName,
    OptimizerName,
    PenaltyName,
    Sampling,
    Variants,
)
from ganzoo.core.spec import DataKind, DataLocation, DataSpec, Split

__all__ = [
    "API_VERSION",
    "Architecture",
    "AugmentationName",
    "Config",
    "ConvolutionalConfig",
    "DataKind",
    "DataLocation",
    "DataSpec",
    "Dataset",
    "LossName",
    "NormName",
    "OptimizerName",
    "PenaltyName",
    "Sampling",
    "Split",
    "Variants",
]
