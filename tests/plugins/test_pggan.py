"""pggan grows as its paper says, and its steps can be replayed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ganzoo.core import registry
from ganzoo.core.config import make
from ganzoo.core.spec import DataSpec
from ganzoo.gan import GAN
from ganzoo.testing.fixtures import ArchitectureFixture
from ganzoo.training import cuda_graph, loop
from ganzoo.training.state import TrainingState
from ganzoo.training.state_snapshot import Snapshot
from tests.runs import assert_same
from tests.training.test_cuda_graph import record_eagerly

CARD = registry.get_architecture("pggan").card
SIZE = DataSpec(1, 16)


def build(spec: DataSpec = SIZE, **settings: Any) -> GAN:
    torch.manual_seed(0)
    gan: GAN = CARD.build(
        make(CARD.Config, {**CARD.check_settings, "batch_size": 8, "penalty_interval": 1, **settings}), spec
    )
    return gan


def begin(**settings: Any) -> tuple[TrainingState, Any]:
    gan = build(**settings)
    return TrainingState(gan.train(), 0), ArchitectureFixture(CARD, {"batch_size": 8}).batches(gan)


def parameters(networks: nn.ModuleList) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in networks.parameters()]


def test_both_networks_have_23_million_parameters_at_1024_pixels() -> None:
    with torch.device("meta"):
        gan = build(DataSpec(3, 1024), **make(CARD.Config, {"preset": "paper"}).__dict__)
    for network in (gan.generator, gan.discriminator):
        assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == 23.1  # table 2 of the paper


def test_stages_join_one_after_the_other_and_their_shares_grow_to_1() -> None:
    state, batches = begin(grow=24)  # three steps
    gan = state.gan
    shares = {}
    before = parameters(gan.generator.stages[1])  # type: ignore[index]
    for step in range(16):
        loop.train_step(state, batches)
        state.step += 1
        shares[step] = [round(share, 3) for share in gan.generator.shares.tolist()]  # type: ignore[union-attr]
        assert torch.equal(gan.generator.shares, gan.discriminator.shares)
        assert gan.phase(step)[0] == (0 if step < 3 else 1 if step < 9 else 2)  # type: ignore[index]
        same = all(map(torch.equal, parameters(gan.generator.stages[1]), before))  # type: ignore[index]
        assert same == (step < 10)  # in step 9 their share, and so their gradient, is 0
    assert [shares[step][0] for step in (2, 3, 4, 5, 6, 9)] == [0, 0, 0.333, 0.667, 1, 1]
    assert [shares[step][1] for step in (6, 9, 10, 11, 12, 15)] == [0, 0, 0.333, 0.667, 1, 1]


def test_stages_without_a_share_are_not_computed_and_change_nothing() -> None:
    gan = build().eval()
    images = gan.generate(z := gan.latent(3))
    assert torch.equal(images, nn.functional.interpolate(images[:, :, ::4, ::4], scale_factor=4.0))
    gan.generator.stage = 0
    assert torch.equal(gan.generate(z), images)
    torch.testing.assert_close(gan.discriminator(images), gan.discriminator(images[:, :, ::4, ::4]))


def test_real_images_are_blended_while_a_stage_is_faded_in() -> None:
    gan = build()
    gan.generator.stage = 1
    gan.discriminator.shares[0] = 0.25  # type: ignore[index]
    real = torch.rand(2, 1, 16, 16)
    small, smaller = (nn.functional.avg_pool2d(real, factor) for factor in (2, 4))
    expected = 0.25 * small + 0.75 * smaller.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(gan.blended(real), expected)  # type: ignore[operator]


def test_the_published_settings_have_the_loss_of_the_paper() -> None:
    config = make(CARD.Config, {"preset": "paper"})
    assert (config.loss, config.penalty, config.penalty_weight, config.penalty_interval) == (
        "wasserstein", "gradient", 10.0, 1,
    )  # fmt: skip
    assert (config.generator_lr, config.beta1, config.beta2, config.drift) == (1e-3, 0.0, 0.99, 0.001)


def test_all_at_once_without_growing() -> None:
    gan = build(grow=0)
    assert gan.generator.shares.tolist() == [1, 1]  # type: ignore[union-attr]
    assert gan.phase(0) is None


def test_every_stage_is_a_graph_and_trains_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graph, "_unsupported_reason", lambda state, batches: None)
    monkeypatch.setattr(cuda_graph, "record_graph", record_eagerly)
    plain, other = begin(grow=16), begin(grow=16)
    notes: list[str] = []
    step = cuda_graph.stepper(*other, loop.compute_step, None, notes.append)
    for number in range(9):
        plain[0].step = other[0].step = number
        expected = cuda_graph.eager_step(*plain, loop.compute_step)
        assert_same(dict(step()), dict(expected))
    assert_same(Snapshot(other[0]).tensors, Snapshot(plain[0]).tensors)
    assert plain[0].gan.state() == other[0].gan.state() == {"seen": 72}
    assert not notes
    assert {phase[0] for phase in step.graphs} == {0, 1, 2}  # type: ignore[attr-defined]


def test_a_training_that_begins_with_other_weights_grows_again() -> None:
    gan = build()
    assert not any("seen" in name for name in gan.state_dict())
    gan.load_state({"seen": 48})
    assert gan.state() == {"seen": 48}


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_squared_logits_of_real_images_are_a_part_of_the_loss(weight: float) -> None:
    logits = torch.tensor([2.0, -1.0])
    value, _ = build(drift=weight, loss="wasserstein").discriminator_objective(logits, torch.zeros(2))
    assert value.item() == pytest.approx(-0.5 + weight * 2.5)
