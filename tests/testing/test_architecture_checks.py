"""Every check of an architecture finds the mistake it is there for, and says what to change."""

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
    """Two linear layers: right in every respect."""

    __module__ = "ganzoo.core.plugin"  # not this one, which imports torch

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


class DeafGenerator(Generator):
    def forward(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(z, None)


class Unseeded(Generator):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        nn.init.normal_(self.layer.weight, generator=torch.Generator().manual_seed(torch.seed() % 1000))


class Forgetful(Generator):
    """Its scale is an attribute of Python's, which no checkpoint knows."""

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
        return (pixels.float() @ torch.eye(pixels.shape[1]).to(torch.float64)).tanh()


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


class DeafDiscriminator(Discriminator):
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


def mistake(name: str, part: type, **attributes: Any) -> Any:
    slot = (
        "generator" if issubclass(part, Generator) else "discriminator" if issubclass(part, Discriminator) else "game"
    )
    return pytest.param(name, {slot: part, **attributes}, id=f"{name}-{part.__name__}")


class Refusing(Good):
    words: ClassVar[str] = ""

    def build(self, config: Any, spec: DataSpec) -> GAN:
        if spec.size % 4:
            raise UsageError(self.words.format(spec.size))
        return super().build(config, spec)


MISTAKES = [
    mistake("shapes", FixedSize),
    mistake("shapes", OneForAll),
    mistake("output_range", Unbounded),
    mistake("output_range", Silent),
    mistake("logits", Probability),
    mistake("condition", DeafGenerator),
    mistake("condition", DeafDiscriminator),
    mistake("seed", Unseeded),
    mistake("seed", GlobalNoise),
    mistake("seed", Evaluating),
    mistake("safetensors", Forgetful),
    mistake("safetensors", Tied),
    mistake("generator_step", OneOptimizerForBoth),
    mistake("generator_step", Idle),
    mistake("discriminator_step", OneOptimizerForBoth),
    mistake("discriminator_step", Idle),
    mistake("gradients", Unused),
    mistake("accumulate", Summed),
    mistake("objectives", OneLoss),
    mistake("trains", Exploding),
    mistake("trains", Unbounded),
    mistake("resume", Forgetful),
    mistake("no_sync", Peeking),
    mistake("no_sync", Listing),
    mistake("no_sync", Masking),
    mistake("bf16", SinglePrecision),
    mistake("channels_last", Strided),
    mistake("compile", Peeking),
    pytest.param("settings", {"Config": Unexplained}, id="settings-Unexplained"),
    pytest.param("settings", {"Config": LostOnTheWay}, id="settings-LostOnTheWay"),
    pytest.param("metadata", {"summary": "x" * 200}, id="metadata-long"),
    pytest.param("metadata", {"paper": " "}, id="metadata-blank"),
]


def outcome(card: type[plugin.Architecture], name: str) -> Any:
    return run(next(check for check in architecture_checks(card) if check.name == name))


@pytest.mark.parametrize(("name", "attributes"), MISTAKES)
def test_each_mistake_is_found(name: str, attributes: dict[str, Any]) -> None:
    result = outcome(type("Mistaken", (Good,), attributes), name)
    assert result.status == "failed"
    assert "\nChange: " in str(result.error)


@pytest.mark.parametrize("rule", ARCHITECTURE, ids=lambda rule: rule.name)
def test_what_is_right_passes(rule: Any) -> None:
    result = outcome(Good, rule.name)
    assert result.status == "ok", result.error


def test_a_card_that_imports_what_is_heavy_or_is_in_a_script_is_found(site: Site, monkeypatch: Any) -> None:
    site.add("heavy", "import numpy")
    for module, found in (
        ("heavy", "importing heavy imports numpy"),
        ("__main__", "in a script"),
        ("gone", "No module"),
    ):
        monkeypatch.syspath_prepend(str(site.path))
        card = type("Heavy", (Good,), {"__module__": module})
        assert found in str(outcome(card, "metadata").error)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("no", "names no image_size that works"),
        ("{0} is not possible, set image_size=9", "in favour of 9, which is refused too"),
        ("{0} is not possible, set image_size=12", None),
    ],
)
def test_a_refusal_names_a_size_that_works(words: str, found: str | None) -> None:
    result = outcome(type("Refusing", (Refusing,), {"words": words}), "impossible_size")
    assert found is None if result.error is None else found in str(result.error)


def test_what_raises_is_named_with_its_place() -> None:
    result = outcome(type("Refusing", (Refusing,), {"words": "{1}"}), "impossible_size")
    assert result.status == "failed"
    assert "IndexError" in str(result.error)
    assert "test_architecture_checks.py" in str(result.error)
    assert isinstance(result.error.__cause__, IndexError)


def test_a_value_that_is_read_is_named_with_its_place() -> None:
    error = str(outcome(type("Mistaken", (Good,), {"generator": Peeking}), "no_sync").error)
    assert "pixels.mean() < 100" in error


def announced(failures: Mapping[str, Any], **attributes: Any) -> type[plugin.Architecture]:
    return type("Announced", (Good,), {"expected_failures": failures, **attributes})


def test_an_announced_failure_is_expected_and_one_that_passes_is_out_of_date() -> None:
    reason = "one pixel at a time, by design"
    assert outcome(announced({"no_sync": reason}, generator=Peeking), "no_sync").status == "expected"
    result = outcome(announced({"no_sync": reason}), "no_sync")
    assert result.status == "failed"
    assert "remove 'no_sync' from expected_failures" in str(result.error)


@pytest.mark.parametrize(
    ("failures", "message"),
    [({"no_sink": "x"}, "Did you mean no_sync"), ({"no_sync": " "}, "reason"), ({"no_sync": None}, "reason")],
)
def test_expected_failures_need_a_check_and_a_reason(failures: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        architecture_checks(announced(failures))


def test_what_is_no_architecture_is_refused() -> None:
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
