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
    mistake("objectives", OneLoss, "loss=hinge and loss=least_squares give the same values"),
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


@pytest.mark.parametrize("rule", ARCHITECTURE, ids=lambda rule: rule.name)
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
