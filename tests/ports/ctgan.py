"""CTGAN (Xu et al. 2019): rows of a table; categories by Gumbel softmax, groups of rows, gradient penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import ganzoo
from ganzoo.config import setting
from ganzoo.nn import mlp
from ganzoo.plugin import DataSpec, Field, LossName, PenaltyName

COLUMNS = [
    {"name": "age", "low": 0.0, "high": 100.0, "whole": True},
    {"name": "sex", "categories": ["female", "male"]},
    {"name": "height", "low": 1.0, "high": 2.0, "whole": False},
]


class Generator(nn.Module):
    """z -> a number in [-1, 1] for each numeric column, shares for the categories of the others."""

    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        self.layers = mlp((config.latent_dim, *config.widths, spec.shape[0]), nn.ReLU())
        self.sizes = [len(column.get("categories", "1")) for column in spec.target.facts["columns"]]
        self.categorical = ["categories" in column for column in spec.target.facts["columns"]]
        self.temperature = config.temperature

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        parts = self.layers(z).split(self.sizes, 1)
        return torch.cat([self.column(x) if c else x.tanh() for x, c in zip(parts, self.categorical)], dim=1)

    def column(self, logits: Tensor) -> Tensor:
        if self.training:
            logits = logits - torch.empty_like(logits).exponential_().clamp(min=1e-9).log()
        return (logits / self.temperature).softmax(1)


class Discriminator(nn.Module):
    """Rows [N, numbers] -> logits [N / packing]."""

    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        self.packing = config.packing
        self.layers = mlp((config.packing * spec.shape[0], *config.widths, 1), nn.LeakyReLU(0.2))

    def forward(self, rows: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.layers(rows.reshape(len(rows) // self.packing, -1)).squeeze(1)  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class CTGANConfig(ganzoo.Config):
    loss: LossName = "wasserstein"
    penalty: PenaltyName = "gradient"
    temperature: float = setting(0.2, "of the softmax", gt=0)
    packing: int = setting(2, "rows that are judged together", ge=1)
    latent_dim: int = 8
    widths: tuple[int, ...] = setting((16,), "hidden layers", ge=1)


class CTGAN(ganzoo.Architecture):
    api_version = 2
    summary = "rows of a table"
    paper = "Xu et al. 2019, Modeling Tabular Data using Conditional GAN, arXiv:1907.00503"
    kinds = ("table",)
    Config = CTGANConfig

    def example(self, config: Any) -> DataSpec:
        return DataSpec(target=Field("table", (4,), {"columns": COLUMNS}))

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        return ganzoo.GAN(Generator(config, spec), Discriminator(config, spec), config, spec)
