"""Networks have as many parameters as their public reference implementations, named in reference_networks.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ganzoo.core import registry
from ganzoo.core.config import make
from ganzoo.core.spec import DataSpec

REFERENCES = json.loads(Path(__file__).with_name("reference_networks.json").read_text())


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    "reference", REFERENCES, ids=lambda row: f"{row['architecture']}-{row['settings']['preset']}-{row['size']}"
)
def test_parameters_equal_those_of_the_reference(reference: dict[str, Any]) -> None:
    card = registry.get_architecture(reference["architecture"]).card
    config = make(card.Config, {**reference["settings"], "spectral_norm": "none"})  # which has no parameters
    with torch.device("meta"):
        gan = card.build(config, DataSpec(reference["channels"], reference["size"], reference["classes"]))
    assert (count(gan.generator), count(gan.discriminator)) == (reference["generator"], reference["discriminator"])
