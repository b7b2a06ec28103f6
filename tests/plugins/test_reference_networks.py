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
from ganzoo.core.spec import DataSpec, Field

REFERENCES = json.loads(Path(__file__).with_name("reference_networks.json").read_text())


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def spec_of(reference: dict[str, Any]) -> DataSpec:
    if "target" not in reference:
        return DataSpec(reference["channels"], reference["size"], reference["classes"])
    given = {"input": Field("images", tuple(reference["input"]))} if "input" in reference else {}
    facts = {"sample_rate": 16_000} if reference.get("modality") == "audio" else {}
    return DataSpec(target=Field(reference.get("modality", "images"), tuple(reference["target"]), facts), given=given)


def name_of(reference: dict[str, Any]) -> str:
    size = reference["target"][-1] if "target" in reference else reference["size"]
    return f"{reference['architecture']}-{reference['settings'].get('preset', 'tutorial')}-{size}"


@pytest.mark.parametrize("reference", REFERENCES, ids=name_of)
def test_parameters_equal_those_of_the_reference(reference: dict[str, Any]) -> None:
    card = registry.get_architecture(reference["architecture"]).card
    config = make(card.Config, {**reference["settings"], "spectral_norm": "none"})  # which has no parameters
    with torch.device("meta"):
        gan = card.build(config, spec_of(reference))
    assert (count(gan.generator), count(gan.discriminator)) == (reference["generator"], reference["discriminator"])
