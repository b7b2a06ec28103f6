"""The checks as pytest tests. pytest is imported on use, so that `ganzoo check` works without it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ganzoo.core.plugin import Architecture
from ganzoo.testing import checks as kinds
from ganzoo.testing.kit import Check, CheckError

if TYPE_CHECKING:
    import pytest


def parametrize_checks(
    *architectures: str | type[Architecture],
    datasets: Sequence[str] = (),
    losses: Sequence[str] = (),
    penalties: Sequence[str] = (),
    augmentations: Sequence[str] = (),
    metrics: Sequence[str] = (),
    loggers: Sequence[str] = (),
    **settings: Any,
) -> Callable[[Callable[..., None]], Any]:
    """Run a test once for every check of these plugins; it receives the check as its argument `check` and calls it.

    `settings` are those of the architectures.

    Checks that the card lists in `expected_failures` are expected failures in pytest, and fail if they pass. No check
    can be dropped silently: a test that returns or skips without calling its check fails, and the last test,
    `complete`, fails if checks were deselected.

    Raises the errors of `architecture_checks`.
    """
    import pytest

    groups = [(name, list(kinds.architecture_checks(name, **settings))) for name in architectures]
    for of_kind, names in (
        (kinds.dataset_checks, datasets),
        (kinds.loss_checks, losses),
        (kinds.penalty_checks, penalties),
        (kinds.augmentation_checks, augmentations),
        (kinds.metric_checks, metrics),
        (kinds.logger_checks, loggers),
    ):
        groups += [(name, list(of_kind(name))) for name in names]
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
                        "always call check(); list a check that cannot pass in expected_failures, with the reason.",
                    )

        parameters.setdefault("request", inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY))
        checked.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        return pytest.mark.parametrize("check", [*cases, pytest.param(None, id="complete")])(checked)

    return decorate


class _Called:
    """A check that counts its calls."""

    def __init__(self, check: Check):
        self.check = check
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.check, name)

    def __call__(self) -> None:
        self.count += 1
        self.check()


def _refuse_incomplete(request: pytest.FixtureRequest, names: Iterable[str]) -> None:
    """Raise CheckError if some checks of this test function were deselected."""
    test = request.node.nodeid.partition("[")[0]
    running = {item.nodeid for item in request.session.items}
    deselected = [name for name in names if f"{test}[{name}]" not in running]
    if deselected:
        raise CheckError(
            f"deselected: {', '.join(deselected)}",
            "run them; list a check that cannot pass in expected_failures on the card, with the reason.",
        )


def _marks(check: Check) -> list[pytest.MarkDecorator]:
    import pytest

    if check.expected_failure is None:
        return []
    return [pytest.mark.xfail(reason=check.expected_failure, strict=True, raises=CheckError)]


def _name(plugin: str | type[Architecture]) -> str:
    return plugin if isinstance(plugin, str) else plugin.__name__
