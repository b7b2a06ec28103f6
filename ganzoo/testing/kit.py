"""What a check is, how it runs, and what is said when it fails."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import torch

from ganzoo.core.errors import DataError, UsageError, did_you_mean

Subject = TypeVar("Subject")
TORCH, KIT = (os.path.join(os.path.dirname(file), "") for file in (torch.__file__, __file__))
GANZOO = os.path.join(os.path.dirname(os.path.dirname(KIT)), "")


class CheckError(AssertionError):
    """What a check `found`, and what to `change`; left out, that is the check's own advice."""

    def __init__(self, found: str, change: str = ""):
        super().__init__(f"{found}\nChange: {change}" if change else found)
        self.found = found
        self.change = change


@dataclass(frozen=True)
class Rule(Generic[Subject]):
    """What a check asks of any plugin. Its name and summary are those of `function`."""

    function: Callable[[Subject], None]
    advice: str

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def summary(self) -> str:
        return (self.function.__doc__ or "").partition("\n")[0].rstrip(".")


def rule(advice: str) -> Callable[[Callable[[Subject], None]], Rule[Subject]]:
    """Makes a function a rule; `advice` says what to change where it fails or the plugin's own code raises."""
    return lambda function: Rule(function, advice)


@dataclass(frozen=True)
class Check:
    """One named check of one plugin. Call it: it returns, or raises `CheckError` (DataError where data are missing)."""

    rule: Rule[Any]
    subject: Any
    expected_failure: str | None = None
    """The author's reason why this check fails, where the card names it among its `expected_failures`."""

    @property
    def name(self) -> str:
        return self.rule.name

    def __call__(self) -> None:
        with torch.random.fork_rng([]):
            try:
                self.rule.function(self.subject)
            except DataError:
                raise  # files that are missing or damaged are nobody's mistake in code, and say so themselves
            except CheckError as failure:
                raise CheckError(failure.found, failure.change or self.rule.advice) from failure.__cause__
            except Exception as error:  # a stranger's code may raise anything; the cause stays attached
                place = where(traceback.extract_tb(error.__traceback__))
                raise CheckError(f"{first_line(error)}{place}", self.rule.advice) from error


@dataclass(frozen=True)
class Result:
    """How a check went; `expected` is a failure that the card announces."""

    check: Check
    status: Literal["ok", "failed", "expected"]
    error: CheckError | None
    seconds: float


def run(check: Check) -> Result:
    """Run `check`. One that passes though its failure was announced has failed: the announcement is out of date."""
    start = time.perf_counter()
    status: Literal["ok", "failed", "expected"] = "ok"
    error = None
    try:
        check()
    except CheckError as found:
        status, error = "expected" if check.expected_failure else "failed", found
    if status == "ok" and check.expected_failure:
        status = "failed"
        error = CheckError(
            f"it passes, though the card expects it to fail: {check.expected_failure}",
            f"remove {check.name!r} from expected_failures.",
        )
    return Result(check, status, error, time.perf_counter() - start)


def run_all(checks: Iterable[Check], what: str) -> None:
    """Run every check; a `CheckError` that lists all failures if there are any."""
    failed = [result for result in map(run, checks) if result.status == "failed"]
    if failed:
        found = "\n".join(f"{result.check.name}: {result.error}" for result in failed)
        raise CheckError(f"{what} fails {len(failed)} checks.\n{found}", "what each of them says.")


def checks_of(
    rules: Iterable[Rule[Subject]], subject: Subject, expected_failures: Mapping[str, str]
) -> Iterator[Check]:
    """The rules as checks of `subject`. UsageError where a failure is expected of no check, or for no reason."""
    known = {rule.name: rule for rule in rules}
    for name, reason in expected_failures.items():
        if name not in known:
            raise UsageError(f"expected_failures names no check: {name!r}. {did_you_mean(name, known)}")
        if not isinstance(reason, str) or not reason.strip():
            raise UsageError(f"expected_failures[{name!r}] must give the reason as text.")
    return (Check(rule, subject, expected_failures.get(name)) for name, rule in known.items())


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def where(stack: Sequence[traceback.FrameSummary]) -> str:
    """` (FILE:LINE: source)` of the innermost frame that a check ran in the plugin, or else in ganzoo."""
    frames: list[traceback.FrameSummary] = []
    for frame in reversed(stack):
        if frame.filename.startswith(KIT) and frames:
            break
        if not frame.filename.startswith((KIT, TORCH, "<")):
            frames.append(frame)
    found = next((frame for frame in frames if not frame.filename.startswith(GANZOO)), frames[0] if frames else None)
    return f" ({found.filename}:{found.lineno}: {found.line})" if found else ""
