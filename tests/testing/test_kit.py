"""Running checks: results, expected failures, and what a failure says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from ganzoo.core import plugin
from ganzoo.core.errors import PluginError, UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.gan import GAN
from ganzoo.testing import CheckError, architecture_checks, check_architecture
from ganzoo.testing.checks import ARCHITECTURE
from tests.testing.architectures import Good, Peeking, Probability, Unbounded, outcome


@pytest.mark.parametrize("rule", [rule for rule in ARCHITECTURE if rule.name != "ranks"], ids=lambda rule: rule.name)
def test_a_correct_architecture_passes(rule: Any) -> None:
    result = outcome(Good, rule.name)
    assert result.status == "ok", result.error


def test_an_exception_is_reported_with_its_location() -> None:
    class Raising(Good):
        def build(self, config: Any, spec: DataSpec) -> GAN:
            if spec.size % 4:
                raise IndexError("index out of range")
            return super().build(config, spec)

    result = outcome(Raising, "impossible_size")
    assert result.status == "failed"
    assert "IndexError" in str(result.error)
    assert "test_kit.py" in str(result.error)
    assert isinstance(result.error.__cause__, IndexError)


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


def test_expected_failures_may_depend_on_the_settings() -> None:
    class Sometimes(Good):
        def expected_failures(self, config: Any) -> dict[str, str]:  # type: ignore[override]
            return {"compile": "only with this loss"} if config.loss == "hinge" else {}

    assert {c.name: c.expected_failure for c in architecture_checks(Sometimes)}["compile"] is None
    checks = {c.name: c.expected_failure for c in architecture_checks(Sometimes, loss="hinge")}
    assert checks["compile"] == "only with this loss"


def test_other_classes_and_unknown_names_are_refused() -> None:
    with pytest.raises(PluginError, match="must be a subclass"):
        architecture_checks(dict)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="No architecture is called"):
        architecture_checks("no-such-gan")


def test_all_failures_are_listed_at_once() -> None:
    class Wrong(Good):
        __module__ = "ganzoo.core.plugin"
        generator = Unbounded
        discriminator = Probability

    with pytest.raises(CheckError, match=r"(?s)fails \d+ checks.*\noutput_range: .*\nlogits: .*\ntrains: "):
        check_architecture(Wrong)


def test_one_refusal_is_one_message() -> None:
    class Refuses(Good):
        def build(self, config: Any, spec: DataSpec) -> GAN:
            raise UsageError("This architecture is for tables, and these data are images.")

    with pytest.raises(CheckError) as failure:
        check_architecture(Refuses)
    text = str(failure.value)
    assert text.count("This architecture is for tables") == 1
    assert text.count("as shapes") > 10


def test_the_kit_leaves_the_random_state_alone() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    assert outcome(Good, "trains").status == "ok"
    assert torch.equal(torch.get_rng_state(), before)


class InPlace(GAN):
    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Any:
        exponential = self.discriminator(fake, condition).exp()
        loss = exponential.mean()
        exponential.mul_(2)
        return loss, {}


class Remembering(GAN):
    before: Any = 0.0

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Any:
        loss, logs = super().generator_loss(real, fake, condition)
        self.before = loss + 0.9 * self.before
        return self.before, logs


class PerImage(GAN):
    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Any:
        return -self.discriminator(fake, condition), {}


class WithoutLogs(GAN):
    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Any:
        return -self.discriminator(fake, condition).mean()


class Detached(GAN):
    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Any:
        return -self.discriminator(fake.detach(), condition).mean(), {}


class NoLogs(GAN):
    def training_step(self, step: Any) -> Any:
        super().training_step(step)


@pytest.mark.parametrize(
    ("game", "problem", "change"),
    [
        (InPlace, "modified by an inplace operation", "x * 2 for x.mul_(2)"),
        (Remembering, "backward through the graph a second time", "call .detach() on what is kept"),
        (PerImage, "only for scalar outputs", "average the loss over the batch"),
        (WithoutLogs, "loss, logs = self.generator_loss(", "return what the overridden method returns"),
        (Detached, "An update of the generator has no gradient", "as this message says"),
        (NoLogs, "training_step() returns NoneType: end it with `return step.logs`.", "as this message says"),
    ],
)
def test_an_exception_that_torch_is_known_for_comes_with_what_to_change(game: type, problem: str, change: str) -> None:
    result = outcome(type("Mistaken", (Good,), {"game": game}), "trains")
    assert problem in result.error.problem
    assert change in result.error.change


def test_one_exception_is_one_message_whichever_checks_it_ends() -> None:
    class Wrong(Good):
        __module__ = "ganzoo.core.plugin"
        game = Remembering

    with pytest.raises(CheckError) as failure:
        check_architecture(Wrong)
    text = str(failure.value)
    assert text.count("Trying to backward through the graph") == 1
    assert "trains: as condition" in text
