"""Every check of an architecture finds the mistakes it is meant for, and says what to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn

from ganzoo.core import plugin
from ganzoo.core.config import setting
from ganzoo.core.errors import PluginError, UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.gan import GAN
from ganzoo.testing import CheckError, architecture_checks, check_architecture, run
from ganzoo.testing.checks import ARCHITECTURE
from tests.conftest import Site


class Generator(nn.Module):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        self.shape = (spec.channels, spec.size, spec.size)
        self.embed = nn.Embedding(max(spec.classes, 1), 4)
        self.layer = nn.Linear(config.latent_dim + 4, spec.channels * spec.size**2)

    def forward(self, z: Tensor, condition: Tensor | None) -> Tensor:
        code = self.embed(torch.zeros(len(z), dtype=torch.int64) if condition is None else condition)
        return self.finish(self.layer(torch.cat([z, code], dim=1))).reshape(-1, *self.shape)

    def finish(self, pixels: Tensor) -> Tensor:
        return pixels.tanh()


class Discriminator(nn.Module):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        self.layer = nn.Linear(spec.channels * spec.size**2 + 4, 1)
        self.embed = nn.Embedding(max(spec.classes, 1), 4)

    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        code = self.embed(torch.zeros(len(images), dtype=torch.int64) if condition is None else condition)
        return self.layer(torch.cat([images.flatten(1), code], dim=1)).squeeze(1)


class Good(plugin.Architecture):
    """Two linear layers; passes every check."""

    __module__ = "ganzoo.core.plugin"  # this module imports torch, which `metadata` would report

    api_version = 1
    summary = "one layer against another"
    paper = "none"
    conditional = True
    generator: ClassVar[Any] = Generator
    discriminator: ClassVar[Any] = Discriminator
    game: ClassVar[Any] = GAN

    def build(self, config: Any, spec: DataSpec) -> GAN:
        return self.game(self.generator(config, spec), self.discriminator(config, spec), config, spec)


class FixedSize(Generator):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, DataSpec(1, 8, spec.classes))


class Unbounded(Generator):
    def finish(self, pixels: Tensor) -> Tensor:
        return pixels


class Silent(Generator):
    def forward(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(z * 0, condition * 0)


class IgnoringGenerator(Generator):
    def forward(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(z, None)


class Unseeded(Generator):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        nn.init.normal_(self.layer.weight, generator=torch.Generator().manual_seed(torch.seed() % 1000))


class Forgetful(Generator):
    """Its scale is a Python attribute, which no checkpoint contains."""

    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        self.scale = torch.rand(()).item()

    def finish(self, pixels: Tensor) -> Tensor:
        self.scale *= 1.01
        return (pixels * self.scale).tanh()


class Tied(Generator):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        self.again = nn.Embedding(max(spec.classes, 1), 4)
        self.again.weight = self.embed.weight


class Unused(Generator):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        self.spare = nn.Linear(2, 2)


class Peeking(Generator):
    def finish(self, pixels: Tensor) -> Tensor:
        return pixels.tanh() if pixels.mean() < 100 else pixels


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


class Strided(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        images = images.view(len(images), -1)
        return super().forward(images, condition)


class OneForAll(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(images, condition).mean()


class Evaluating(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super(Evaluating, self.eval()).forward(images, condition)


class Probability(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(images, condition).sigmoid()


class Dividing(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(images, condition) / 0


class IgnoringDiscriminator(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(images, None)


class OneOptimizerForBoth(GAN):
    def optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        return torch.optim.Adam(self.parameters()), torch.optim.Adam(self.parameters(), weight_decay=0.1)


class Idle(GAN):
    def optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        return torch.optim.SGD(self.generator.parameters(), 0.0), torch.optim.SGD(self.discriminator.parameters(), 0.0)


class OneLoss(GAN):
    def discriminator_objective(self, on_real: Tensor, on_fake: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        value = on_fake.mean() - on_real.mean()
        return value, {"d_real": on_real.detach().mean(), "d_fake": on_fake.detach().mean()}

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Any:
        return -self.discriminator(fake, condition).mean(), {}


class Summed(GAN):
    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Any:
        return -self.discriminator(fake, condition).sum(), {}


class GlobalNoise(GAN):
    def latent(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        return torch.randn(n, self.config.latent_dim)


@dataclass(frozen=True, kw_only=True)
class Unexplained(plugin.Config):
    width: int = 3


@dataclass(frozen=True, kw_only=True)
class LostOnTheWay(plugin.Config):
    names: tuple[str, ...] = setting(("a,b", "c"), "words")


def mistake(name: str, part: type, problem: str) -> Any:
    """The check called `name` must find `problem` in an architecture with this generator, discriminator or GAN."""
    slot = (
        "generator" if issubclass(part, Generator) else "discriminator" if issubclass(part, Discriminator) else "game"
    )
    return pytest.param(name, {slot: part}, problem, id=f"{name}-{part.__name__}")


def build_from_one_seed(card: Good, config: Any, spec: DataSpec) -> GAN:
    torch.manual_seed(0)
    return Good.build(card, config, spec)


class Refusing(Good):
    words: ClassVar[str] = ""

    def build(self, config: Any, spec: DataSpec) -> GAN:
        if spec.size % 4:
            raise UsageError(self.words.format(spec.size))
        return super().build(config, spec)


Misspelt = plugin.Recipe(summary="few images", settings={"widht": 8})
Blank = plugin.Recipe(summary="", settings={})
MISTAKES = [
    mistake("shapes", FixedSize, "the generator returns [4, 1, 8, 8], expected [4, 3, 16, 16]"),
    mistake("shapes", OneForAll, "the discriminator returns [] for 4 images"),
    mistake("output_range", Unbounded, "the generator's images range from -"),
    mistake("output_range", Silent, "32 identical images"),
    mistake("logits", Probability, "its values lie between 0 and 1"),
    mistake("logits", Dividing, "some logits are not finite"),
    mistake("condition", IgnoringGenerator, "different labels give the same images"),
    mistake("condition", IgnoringDiscriminator, "different labels for the same images give the same losses"),
    mistake("seed", Unseeded, "differs when built twice from the same seed"),
    mistake("seed", GlobalNoise, "sample(seed=0) draws from the global random state"),
    mistake("seed", Evaluating, "forward() changes the networks' train and eval modes"),
    mistake("safetensors", Forgetful, "the generator's images differ after loading"),
    mistake("safetensors", Tied, "share memory"),
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
    mistake("channels_last", Strided, "view size is not compatible"),
    mistake("compile", Peeking, "Data-dependent branching"),
    pytest.param("seed", {"build": build_from_one_seed}, "a different seed gives the same weights", id="seed-fixed"),
    pytest.param("settings", {"Config": Unexplained}, "the setting width has no help text", id="settings-Unexplained"),
    pytest.param("settings", {"Config": LostOnTheWay}, "written to --set and read back", id="settings-LostOnTheWay"),
    pytest.param("recipes", {"recipes": {"few": Misspelt}}, "Unknown setting 'widht'", id="recipes-misspelt"),
    pytest.param("recipes", {"recipes": {"few": Blank}}, "the summary of the recipe few is ''", id="recipes-blank"),
    pytest.param("metadata", {"summary": "x" * 200}, "summary is 'xxx", id="metadata-long"),
    pytest.param("metadata", {"paper": " "}, "paper is ' '", id="metadata-blank"),
]


def outcome(card: type[plugin.Architecture], name: str) -> Any:
    return run(next(check for check in architecture_checks(card) if check.name == name))


@pytest.mark.parametrize(("name", "attributes", "problem"), MISTAKES)
def test_each_mistake_is_found(name: str, attributes: dict[str, Any], problem: str) -> None:
    result = outcome(type("Mistaken", (Good,), attributes), name)
    assert result.status == "failed"
    assert problem in result.error.problem
    assert "\nChange: " in str(result.error)


@pytest.mark.parametrize("rule", [rule for rule in ARCHITECTURE if rule.name != "ranks"], ids=lambda rule: rule.name)
def test_a_correct_architecture_passes(rule: Any) -> None:
    result = outcome(Good, rule.name)
    assert result.status == "ok", result.error


def test_a_card_that_imports_heavy_packages_or_is_in_a_script_is_found(site: Site, monkeypatch: Any) -> None:
    site.add("heavy", "import numpy")
    for module, problem in (
        ("heavy", "importing heavy imports numpy"),
        ("__main__", "in a script"),
        ("gone", "No module"),
    ):
        monkeypatch.syspath_prepend(str(site.path))
        card = type("Heavy", (Good,), {"__module__": module})
        assert problem in str(outcome(card, "metadata").error)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("no", "names no image_size that works"),
        ("{0} is not possible, set image_size=9", "proposes 9, which is refused as well"),
        ("{0} is not possible, set image_size=12", None),
    ],
)
def test_a_refusal_names_a_size_that_works(words: str, problem: str | None) -> None:
    result = outcome(type("Refusing", (Refusing,), {"words": words}), "impossible_size")
    if problem is None:
        assert result.status == "ok"
    else:
        assert problem in result.error.problem


def test_an_exception_is_reported_with_its_location() -> None:
    result = outcome(type("Refusing", (Refusing,), {"words": "{1}"}), "impossible_size")
    assert result.status == "failed"
    assert "IndexError" in str(result.error)
    assert "test_architecture_checks.py" in str(result.error)
    assert isinstance(result.error.__cause__, IndexError)


def test_a_value_that_is_read_back_is_reported_with_its_location() -> None:
    error = str(outcome(type("Mistaken", (Good,), {"generator": Peeking}), "no_sync").error)
    assert "pixels.mean() < 100" in error


def expecting(failures: Mapping[str, Any], **attributes: Any) -> type[plugin.Architecture]:
    return type("Expecting", (Good,), {"expected_failures": failures, **attributes})


def test_an_expected_failure_that_passes_is_a_failure() -> None:
    reason = "one pixel at a time, by design"
    assert outcome(expecting({"no_sync": reason}, generator=Peeking), "no_sync").status == "expected"
    result = outcome(expecting({"no_sync": reason}), "no_sync")
    assert result.status == "failed"
    assert "remove 'no_sync' from expected_failures" in str(result.error)


@pytest.mark.parametrize(
    ("failures", "message"),
    [({"no_sink": "x"}, "Did you mean no_sync"), ({"no_sync": " "}, "reason"), ({"no_sync": None}, "reason")],
)
def test_expected_failures_need_a_check_and_a_reason(failures: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        architecture_checks(expecting(failures))


def test_other_classes_and_unknown_names_are_refused() -> None:
    with pytest.raises(PluginError, match="must be a subclass"):
        architecture_checks(dict)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="No architecture is called"):
        architecture_checks("nobody")


def test_all_failures_are_listed_at_once() -> None:
    class Wrong(Good):
        __module__ = "ganzoo.core.plugin"
        generator = Unbounded
        discriminator = Probability

    with pytest.raises(CheckError, match=r"(?s)fails \d+ checks.*\noutput_range: .*\nlogits: .*\ntrains: "):
        check_architecture(Wrong)


def test_the_kit_leaves_the_random_state_alone() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    assert outcome(Good, "trains").status == "ok"
    assert torch.equal(torch.get_rng_state(), before)


def test_only_the_choices_on_offer_are_tried() -> None:
    @dataclass(frozen=True, kw_only=True)
    class OnlyOne(plugin.Config):
        loss: Literal["wasserstein"] = "wasserstein"
        penalty: Literal["gradient"] = "gradient"

    card = type("Narrow", (Good,), {"Config": OnlyOne, "game": OneLoss})
    assert outcome(card, "objectives").status == "ok"


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


def test_names_of_logs_may_change_with_the_phase_only() -> None:
    assert outcome(type("Mistaken", (Good,), {"game": LazyInPhases}), "logs").status == "ok"
    error = outcome(type("Mistaken", (Good,), {"game": Lazy}), "logs").error
    assert "step 1 and step 0 do not both log weight" in error.problem
    error = outcome(type("Mistaken", (Good,), {"game": OddValues}), "logs").error
    assert "step 0 logs whole, which is not a detached scalar" in error.problem


class RareCounter(GAN):
    """Counts its steps itself, and forgets the count."""

    count = 0

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Any:
        self.count += 1
        loss, logs = super().generator_loss(real, fake, condition)
        return loss * (2 if self.count % 16 == 0 else 1), logs


def test_a_forgotten_counter_that_matters_every_16_steps_is_found() -> None:
    error = outcome(type("Mistaken", (Good,), {"game": RareCounter}), "resume").error
    assert "differs 17 steps after resuming" in error.problem


def test_state_that_is_not_read_back_is_found() -> None:
    class Deaf(RareCounter):
        def state(self) -> dict[str, Any]:
            return {"count": self.count}

    error = outcome(type("Mistaken", (Good,), {"game": Deaf}), "resume").error
    assert "state()['count'] differs one step after resuming" in error.problem


class Modulated(Generator):
    """Conditioning that is the identity at first."""

    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        nn.init.zeros_(self.embed.weight)


class PackedDiscriminator(Discriminator):
    """PacGAN: one logit for two images."""

    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(images, condition).unflatten(0, (-1, 2)).mean(1)


class LabelsForD(Good):
    generator = IgnoringGenerator
    steers = ("discriminator",)


class FrozenFeatures(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.BatchNorm2d(1))
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> FrozenFeatures:
        return super().train(False)


class Pretrained(Discriminator):
    """Judges frozen features of images, whose batch norm stays in eval mode."""

    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        self.features = FrozenFeatures() if spec.channels == 1 else nn.Identity()

    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(self.features(images), condition)


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("condition", {"generator": Modulated}),
        ("condition", {"generator": IgnoringGenerator, "steers": ("discriminator",)}),
        ("condition", {"discriminator": IgnoringDiscriminator, "steers": ("generator",)}),
        ("shapes", {"discriminator": PackedDiscriminator}),
        ("logits", {"discriminator": PackedDiscriminator}),
        ("accumulate", {"discriminator": PackedDiscriminator}),
        ("objectives", {"discriminator": PackedDiscriminator}),
        ("objectives", {"discriminator": Pretrained}),
        ("gradients", {"discriminator": Pretrained}),
        ("seed", {"discriminator": Pretrained}),
    ],
)
def test_what_is_unusual_and_right_passes(name: str, attributes: dict[str, Any]) -> None:
    result = outcome(type("Unusual", (Good,), attributes), name)
    assert result.status == "ok", result.error


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


def test_one_refusal_is_one_message() -> None:
    class Refuses(Good):
        def build(self, config: Any, spec: DataSpec) -> GAN:
            raise UsageError("This architecture is for tables, and these data are images.")

    with pytest.raises(CheckError) as failure:
        check_architecture(Refuses)
    text = str(failure.value)
    assert text.count("This architecture is for tables") == 1
    assert text.count("as shapes") > 10


def test_expected_failures_may_depend_on_the_settings() -> None:
    class Sometimes(Good):
        def expected_failures(self, config: Any) -> dict[str, str]:  # type: ignore[override]
            return {"compile": "only with this loss"} if config.loss == "hinge" else {}

    assert {c.name: c.expected_failure for c in architecture_checks(Sometimes)}["compile"] is None
    checks = {c.name: c.expected_failure for c in architecture_checks(Sometimes, loss="hinge")}
    assert checks["compile"] == "only with this loss"


def test_a_card_may_say_which_data_it_is_checked_with() -> None:
    class Wide(Good):
        def build(self, config: Any, spec: DataSpec) -> GAN:
            if spec.channels != 5:
                raise UsageError("Five channels are needed.")
            return super().build(config, spec)

        def example(self, config: Any) -> DataSpec:
            return DataSpec(5, 12, 10)

    for name in ("shapes", "impossible_size", "trains", "seed"):
        assert outcome(Wide, name).status == "ok"


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
