"""The check that two ranks stay the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from ganzoo.core import plugin
from ganzoo.gan import GAN
from tests.testing.architectures import Good, outcome


class Importable(Good):
    """Ranks are other processes, which import the card from this module."""

    __module__ = __name__


class Drifting(GAN):
    """Keeps a mean over its own share of every batch."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.register_buffer("brightness", torch.zeros(()))

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Any:
        self.brightness.copy_(real.mean())
        return super().generator_loss(real, fake, condition)


class Averaged(Drifting):
    def after_step(self, player: str) -> None:
        super().after_step(player)
        self.brightness.copy_(self.step_context.mean_over_ranks(self.brightness))


class Counting(Drifting):
    """Its state is no tensor."""

    def after_step(self, player: str) -> None:
        self.seen = float(self.brightness)
        self.brightness.zero_()

    def state(self) -> dict[str, Any]:
        return {"seen": getattr(self, "seen", 0.0)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.seen = state["seen"]


class DriftingCard(Importable):
    game = Drifting


class AveragedCard(Importable):
    game = Averaged


class CountingCard(Importable):
    game = Counting


@pytest.mark.parametrize(
    ("card", "problem"),
    [
        (Importable, ""),
        (AveragedCard, ""),
        (DriftingCard, "after step 1 their values of brightness differ"),
        (CountingCard, "after step 1 their values of state()['seen'] differ"),
        (Good, "another process cannot import Good"),
    ],
)
def test_two_ranks_keep_the_same_weights_buffers_and_state(card: type[plugin.Architecture], problem: str) -> None:
    result = outcome(card, "ranks")
    assert result.status == ("failed" if problem else "ok"), result.error
    assert problem in str(result.error)
