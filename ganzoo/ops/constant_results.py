"""Functions whose results torch.compile takes for constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def assume_constant_result(function: Function) -> Function:
    """`torch.compiler.assume_constant_result` without importing the tracer, which takes as long as importing torch."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function
