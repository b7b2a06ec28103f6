"""Checks of training find the mistakes they are meant for, and accept what is unusual and right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from ganzoo.core import plugin
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.gan import GAN
from tests.testing.architectures import (
    Forgetful,
    Generator,
    Good,
    OneLoss,
    PackedDiscriminator,
    Peeking,
    Pretrained,
    Unbounded,
    assert_found,
    mistake,
    outcome,
)


class Unused(Generator):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        self.spare = nn.Linear(2, 2)


class Listing(Generator):
    def finish(self, pixels: Tensor) -> Tensor:
        self.mean = sum(pixels.detach()[0].tolist())
        return pixels.tanh()


class Masking(Generator):
    def finish(self, pixels: Tensor) -> Tensor:
        pixels = pixels.tanh()
        return pixels + 0 * pixels[pixels > 0].sum()


class Exploding(Generator):
    def finish(self, pixels: Tensor) -> Tensor:
        return pixels.tanh() / (pixels.detach().abs().max() * 0)


class SinglePrecision(Generator):
    def finish(self, pixels: Tensor) -> Tensor:
        return torch.lerp(torch.zeros(pixels.shape), pixels, 1.0).tanh()  # refuses to mix float32 and bfloat16


class OneOptimizerForBoth(GAN):
    def optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        return torch.optim.Adam(self.parameters()), torch.optim.Adam(self.parameters(), weight_decay=0.1)


class Idle(GAN):
    def optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        return torch.optim.SGD(self.generator.parameters(), 0.0), torch.optim.SGD(self.discriminator.parameters(), 0.0)


class Summed(GAN):
    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Any:
        return -self.discriminator(fake, condition).sum(), {}


class Lazy(GAN):
    """Every fourth step has a penalty, which is logged then."""

    every = 4

    def penalty(self, *args: Any) -> Any:
        return (0.0, {}) if self.step_context.step % self.every else (1.0, {"weight": torch.tensor(1.0)})


class LazyInPhases(Lazy):
    def phase(self, step: int) -> Any:
        return step % self.every == 0


class OddValues(GAN):
    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Any:
        loss, _ = super().generator_loss(real, fake, condition)
        return loss, {"whole": loss}


class RareCounter(GAN):
    """Counts its steps itself, and forgets the count."""

    count = 0

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Any:
        self.count += 1
        loss, logs = super().generator_loss(real, fake, condition)
        return loss * (2 if self.count % 16 == 0 else 1), logs


Misspelt = plugin.Recipe(summary="few images", settings={"widht": 8})


Blank = plugin.Recipe(summary="", settings={})


class SlowAdam(GAN):
    def optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        return torch.optim.Adam(self.generator.parameters()), torch.optim.Adam(self.discriminator.parameters())


MISTAKES = [
    mistake("no_sync", SlowAdam, "a step reads values back: _local_scalar_dense in the step of an optimizer"),
    mistake("generator_step", OneOptimizerForBoth, "the generator's optimizer holds discriminator."),
    mistake("generator_step", Idle, "a generator step does not change the generator"),
    mistake("discriminator_step", OneOptimizerForBoth, "the discriminator's optimizer holds generator."),
    mistake("discriminator_step", Idle, "a discriminator step does not change the discriminator"),
    mistake("gradients", Unused, "no gradient reaches generator.spare.bias, generator.spare.weight"),
    mistake("accumulate", Summed, "with accumulate=2 the gradient of generator."),
    mistake("objectives", OneLoss, "loss=energy and loss=hinge give the same values"),
    mistake("trains", Exploding, "discriminator_loss became nan"),
    mistake("trains", Unbounded, "the trained generator's images exceed -1..1"),
    mistake("resume", Forgetful, "differs one step after resuming"),
    mistake("no_sync", Peeking, "a step reads values back: _local_scalar_dense"),
    mistake("no_sync", Listing, "a step reads values back: .tolist()"),
    mistake("no_sync", Masking, "a step reads values back: a boolean mask as index"),
    mistake("bf16", SinglePrecision, "dtype"),
    pytest.param("recipes", {"recipes": {"few": Misspelt}}, "Unknown setting 'widht'", id="recipes-misspelt"),
    pytest.param("recipes", {"recipes": {"few": Blank}}, "the summary of the recipe few is ''", id="recipes-blank"),
]


@pytest.mark.parametrize(("name", "attributes", "problem"), MISTAKES)
def test_each_mistake_is_found(name: str, attributes: dict[str, Any], problem: str) -> None:
    assert_found(name, attributes, problem)


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("accumulate", {"discriminator": PackedDiscriminator}),
        ("objectives", {"discriminator": PackedDiscriminator}),
        ("objectives", {"discriminator": Pretrained}),
        ("gradients", {"discriminator": Pretrained}),
    ],
)
def test_what_is_unusual_and_right_passes(name: str, attributes: dict[str, Any]) -> None:
    result = outcome(type("Unusual", (Good,), attributes), name)
    assert result.status == "ok", result.error


def test_a_value_that_is_read_back_is_reported_with_its_location() -> None:
    error = str(outcome(type("Mistaken", (Good,), {"generator": Peeking}), "no_sync").error)
    assert "pixels.mean() < 100" in error


def test_only_the_choices_on_offer_are_tried() -> None:
    @dataclass(frozen=True, kw_only=True)
    class OnlyOne(plugin.Config):
        loss: Literal["wasserstein"] = "wasserstein"
        penalty: Literal["gradient"] = "gradient"

    card = type("Narrow", (Good,), {"Config": OnlyOne, "game": OneLoss})
    assert outcome(card, "objectives").status == "ok"


def test_names_of_logs_may_change_with_the_phase_only() -> None:
    assert outcome(type("Mistaken", (Good,), {"game": LazyInPhases}), "logs").status == "ok"
    error = outcome(type("Mistaken", (Good,), {"game": Lazy}), "logs").error
    assert "step 1 and step 0 do not both log weight" in error.problem
    error = outcome(type("Mistaken", (Good,), {"game": OddValues}), "logs").error
    assert "step 0 logs whole, which is not a detached scalar" in error.problem


def test_a_forgotten_counter_that_matters_every_16_steps_is_found() -> None:
    error = outcome(type("Mistaken", (Good,), {"game": RareCounter}), "resume").error
    assert "differs 17 steps after resuming" in error.problem


def test_state_that_is_not_read_back_is_found() -> None:
    class Deaf(RareCounter):
        def state(self) -> dict[str, Any]:
            return {"count": self.count}

    error = outcome(type("Mistaken", (Good,), {"game": Deaf}), "resume").error
    assert "state()['count'] differs one step after resuming" in error.problem


def test_a_penalty_is_refused_for_batch_norm_that_mixes_images_and_no_other() -> None:
    class Mixing(Pretrained):
        def __init__(self, config: Any, spec: DataSpec):
            super().__init__(config, spec)
            self.features = nn.BatchNorm2d(spec.channels)

    def build(discriminator: type[nn.Module]) -> GAN:
        card = type("Penalised", (Good,), {"discriminator": discriminator})()
        return card.build(plugin.Config(penalty="r1"), DataSpec(1, 8, 10))

    assert build(Pretrained).config.penalty == "r1"
    with pytest.raises(UsageError, match="penalty=r1 with batch norm in the discriminator"):
        build(Mixing)


def test_an_architecture_with_losses_of_its_own_needs_no_name_of_another() -> None:
    class Ours(GAN):
        def discriminator_objective(self, on_real: Any, on_fake: Any) -> Any:
            return torch.nn.functional.softplus(on_fake - on_real).mean(), {}

        def generator_objective(self, on_real: Any, on_fake: Any) -> Any:
            return -on_fake.mean()

    @dataclass(frozen=True, kw_only=True)
    class OwnLoss(plugin.Config):
        loss: Literal["own"] = "own"

    card = type("Own", (Good,), {"Config": OwnLoss, "game": Ours})
    for name in ("settings", "objectives", "trains"):
        result = outcome(card, name)
        assert result.status == "ok", result.error
    undefined = outcome(type("Own", (Good,), {"Config": OwnLoss}), "trains")
    assert "loss=own: its GAN must compute the losses" in str(undefined.error)


def test_players_that_are_updated_together_are_logged_as_one() -> None:
    class Together(GAN):
        def training_step(self, step: Any) -> Any:
            with step.update("discriminator", "generator") as update:
                for micro in step.batches():
                    fake = step.generate(micro, keep_graph=True)
                    update.backward(*self.discriminator_loss(micro.real, fake, micro.condition))
            return step.logs

    @dataclass(frozen=True, kw_only=True)
    class TwoLosses(plugin.Config):
        loss: Literal["hinge", "least_squares"] = "hinge"

    result = outcome(type("Unusual", (Good,), {"game": Together, "Config": TwoLosses}), "objectives")
    assert result.status == "ok", result.error
