"""Rules, the checks made from them, and running checks."""

from __future__ import annotations

import os
import re
import sysconfig
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

import torch

from ganzoo.core.errors import DataError, PluginError, UsageError, did_you_mean

Fixture = TypeVar("Fixture")
TORCH, KIT = (os.path.join(os.path.dirname(file), "") for file in (torch.__file__, __file__))
REFUSAL_ADVICE = "serve these data and settings, or let `example` on the card name data that the networks are for."
STANDARD_LIBRARY = os.path.join(sysconfig.get_path("stdlib"), "")
KNOWN = (
    (
        "modified by an inplace operation",
        "return new tensors, x * 2 for x.mul_(2) and x + y for x += y, where the backward pass needs the old ones.",
    ),
    ("backward through the graph a second time", "call .detach() on what is kept from one step to the next."),
    ("created only for scalar outputs", "average the loss over the batch, .mean()."),
    ("does not require grad", "let the loss depend on the parameters: no .detach(), .item() or no_grad() in between."),
    (r"must have the same dtype|expected scalar type", "return the dtype of the input: cast with .to(x.dtype)."),
    (r"cannot pickle|graph leaves", "let the networks be copied, as `copies` says."),
    (r"forward\(\) (takes|missing|got)", "write forward(z, condition) and forward(images, condition)."),
    (
        r"(unpack|0-d tensor).* \(.*ganzoo.gan.base",
        "return what the overridden method returns: ganzoo/gan/base.py has its type and its docstring.",
    ),
)
"""Patterns of exceptions, with their location, that mean the same whichever check they end; and what to change."""
GANZOO = os.path.join(os.path.dirname(os.path.dirname(KIT)), "")


class CheckError(AssertionError):
    """A failed check: the `problem`, and what to `change`, by default the advice of the check's rule."""

    def __init__(self, problem: str, change: str = ""):
        super().__init__(f"{problem}\nChange: {change}" if change else problem)
        self.problem = problem
        self.change = change


@dataclass(frozen=True)
class Rule(Generic[Fixture]):
    """A requirement on plugins; name and summary come from `function` and its docstring."""

    function: Callable[[Fixture], None]
    advice: str

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def summary(self) -> str:
        return (self.function.__doc__ or "").partition("\n")[0].rstrip(".")


def rule(advice: str) -> Callable[[Callable[[Fixture], None]], Rule[Fixture]]:
    """Turn a function into a rule; `advice` says what to change if it fails or the plugin's code raises."""
    return lambda function: Rule(function, advice)


@dataclass(frozen=True)
class Check:
    """A rule applied to one plugin. Calling it returns, or raises CheckError (DataError if data are missing)."""

    rule: Rule[Any]
    fixture: Any
    expected_failure: str | None = None
    """The reason from the card's `expected_failures`, if it lists this check."""

    @property
    def name(self) -> str:
        return self.rule.name

    def __call__(self) -> None:
        with torch.random.fork_rng([]):
            try:
                self.rule.function(self.fixture)
            except DataError:
                raise  # missing or damaged files are not a mistake in the plugin
            except CheckError as failure:
                raise CheckError(failure.problem, failure.change or self.rule.advice) from failure.__cause__
            except UsageError as refusal:
                raise CheckError(f"it is refused: {refusal}", REFUSAL_ADVICE) from refusal
            except PluginError as mistake:
                raise CheckError(str(mistake), "do as this message says.") from mistake
            except Exception as error:  # third-party code may raise anything
                place = location(traceback.extract_tb(error.__traceback__))
                problem = f"{first_line(error)}{place}"
                known = (change for pattern, change in KNOWN if re.search(pattern, problem))
                raise CheckError(problem, next(known, self.rule.advice)) from error


@dataclass(frozen=True)
class Result:
    """The outcome of a check; `expected` is a failure that the card lists in its `expected_failures`."""

    check: Check
    status: Literal["ok", "failed", "expected"]
    error: CheckError | None
    seconds: float


def run(check: Check) -> Result:
    """Run `check`. A check that passes although its failure is expected counts as failed."""
    start = time.perf_counter()
    status: Literal["ok", "failed", "expected"] = "ok"
    error = None
    try:
        check()
    except CheckError as failure:
        status, error = "expected" if check.expected_failure else "failed", failure
    if status == "ok" and check.expected_failure:
        status = "failed"
        error = CheckError(
            f"it passes, though the card expects it to fail: {check.expected_failure}",
            f"remove {check.name!r} from expected_failures.",
        )
    return Result(check, status, error, time.perf_counter() - start)


def run_all(checks: Iterable[Check], plugin: str) -> None:
    """Run every check; raise one CheckError that lists all failures."""
    failed = list(without_repetitions(result for result in map(run, checks) if result.status == "failed"))
    if failed:
        problems = "\n".join(f"{result.check.name}: {result.error}" for result in failed)
        raise CheckError(f"{plugin} fails {len(failed)} checks.\n{problems}", "as each of them says.")


def without_repetitions(results: Iterable[Result]) -> Iterator[Result]:
    """The results; an error that an earlier check has reported in full is replaced by a reference to that check."""
    first: dict[str, str] = {}
    for result in results:
        earlier = first.setdefault(result.error.problem if result.error else "", result.check.name)
        repeated = result.error is not None and earlier != result.check.name
        yield replace(result, error=CheckError(f"as {earlier}")) if repeated else result


def checks_of(
    rules: Iterable[Rule[Fixture]], fixture: Fixture, expected_failures: Mapping[str, str]
) -> Iterator[Check]:
    """The rules as checks of `fixture`.

    Raises UsageError if `expected_failures` contains an unknown check, or gives no reason.
    """
    known = {rule.name: rule for rule in rules}
    for name, reason in expected_failures.items():
        if name not in known:
            raise UsageError(f"expected_failures names no check: {name!r}. {did_you_mean(name, known)}")
        if not isinstance(reason, str) or not reason.strip():
            raise UsageError(f"expected_failures[{name!r}] must give the reason as text.")
    return (Check(rule, fixture, expected_failures.get(name)) for name, rule in known.items())


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def location(stack: Sequence[traceback.FrameSummary]) -> str:
    """` (FILE:LINE: source)` of the innermost frame in the folder of the plugin, or else in ganzoo."""
    frames: list[traceback.FrameSummary] = []
    for frame in reversed(stack):
        if frame.filename.startswith(KIT) and frames:
            break
        if not (frame.filename.startswith((KIT, TORCH, "<")) or _is_standard(frame.filename)):
            frames.append(frame)
    if not frames:
        return ""
    place = frames[0]
    if outside := [frame for frame in frames if not frame.filename.startswith(GANZOO)]:
        # the plugin's folder: libraries that it calls lie elsewhere
        folder = os.path.join(os.path.dirname(outside[-1].filename), "")
        place = next(frame for frame in outside if frame.filename.startswith(folder))
    return f" ({place.filename}:{place.lineno}: {place.line})"


def _is_standard(file: str) -> bool:
    return file.startswith(STANDARD_LIBRARY) and "-packages" not in file
