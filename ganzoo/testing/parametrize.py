"""The checks as tests of pytest, which is imported where it is used: `ganzoo check` does without."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ganzoo.core.plugin import Architecture
from ganzoo.testing.checks import architecture_checks, dataset_checks
from ganzoo.testing.kit import Check, CheckError

if TYPE_CHECKING:
    import pytest


def parametrize_checks(
    *architectures: str | type[Architecture], datasets: Sequence[str] = (), **settings: Any
) -> Callable[[Callable[..., None]], Any]:
    """Run a test once for every check of these plugins; it receives the check as its argument `check` and calls it.

    What the card names among its `expected_failures` is an expected failure in pytest too, and fails if it passes. No
    check can be dropped in silence: a test that returns or skips without calling its check fails, and so does the last
    test, `complete`, where checks were deselected beside it.

    Raises what `architecture_checks` and `dataset_checks` raise.
    """
    import pytest

    groups = [(name, list(architecture_checks(name, **settings))) for name in architectures]
    groups += [(name, list(dataset_checks(name))) for name in datasets]
    checks = {
        f"{_name(plugin)}-{check.name}" if len(groups) > 1 else check.name: check
        for plugin, group in groups
        for check in group
    }
    cases = [pytest.param(check, id=name, marks=_marks(check)) for name, check in checks.items()]

    def decorate(test: Callable[..., None]) -> Any:
        parameters = dict(inspect.signature(test).parameters)
        asks_request = "request" in parameters

        @functools.wraps(test)
        def checked(*arguments: Any, request: pytest.FixtureRequest, check: Check | None, **fixtures: Any) -> None:
            if check is None:
                return _refuse_incomplete(request, checks)
            called = _Called(check)
            try:
                test(*arguments, check=called, **fixtures, **({"request": request} if asks_request else {}))
            finally:
                if not called.count:
                    raise CheckError(
                        f"the test ended without calling the check {check.name}",
                        "call check() in every case; what cannot pass goes, with its reason, into expected_failures.",
                    )

        parameters.setdefault("request", inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY))
        checked.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        return pytest.mark.parametrize("check", [*cases, pytest.param(None, id="complete")])(checked)

    return decorate


class _Called:
    """A check that counts how often it was called."""

    def __init__(self, check: Check):
        self.check = check
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.check, name)

    def __call__(self) -> None:
        self.count += 1
        self.check()


def _refuse_incomplete(request: pytest.FixtureRequest, names: Iterable[str]) -> None:
    """CheckError where some checks of this test function are not among the tests that run."""
    test = request.node.nodeid.partition("[")[0]
    running = {item.nodeid for item in request.session.items}
    dropped = [name for name in names if f"{test}[{name}]" not in running]
    if dropped:
        raise CheckError(
            f"deselected: {', '.join(dropped)}",
            "run them; what cannot pass goes, with its reason, into expected_failures of the card.",
        )


def _marks(check: Check) -> list[pytest.MarkDecorator]:
    import pytest

    if check.expected_failure is None:
        return []
    return [pytest.mark.xfail(reason=check.expected_failure, strict=True, raises=CheckError)]


def _name(plugin: str | type[Architecture]) -> str:
    return plugin if isinstance(plugin, str) else plugin.__name__
