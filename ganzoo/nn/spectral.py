"""Spectral norm of whole networks."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from ganzoo.nn.conditional import ConditionalBatchNorm

LAYERS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)


def spectrally_normalise(network: nn.Module) -> None:
    """Divide the weight of every convolution, linear layer and embedding by its largest singular value, in place.

    Miyato et al. 2018, arXiv:1802.05957, algorithm 1: one power iteration per forward pass in training. The scales and
    shifts of `ConditionalBatchNorm` are left as they are: they are no linear map.
    """
    scales = {module.embed for module in network.modules() if isinstance(module, ConditionalBatchNorm)}
    for module in list(network.modules()):
        if isinstance(module, LAYERS) and module not in scales:
            spectral_norm(module)
