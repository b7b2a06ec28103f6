"""What stays unloaded, so that listing and help are instant."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import ganzoo
from ganzoo.core import registry

HEAVY = ("torch", "numpy", "rich", "PIL", "sklearn", "pooch")


def loaded_after(code: str, *argv: str) -> set[str]:
    """The heavy packages that a fresh process has loaded once `code` has run."""
    script = f"""
import atexit, json, sys
def report():
    print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]), file=sys.stderr)
atexit.register(report)
{code}
"""
    done = subprocess.run([sys.executable, "-c", script, *argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import ganzoo; ganzoo.Architecture, ganzoo.Config, ganzoo.Dataset, ganzoo.DataSpec, dir(ganzoo)",
        "import ganzoo.data",
        "from ganzoo.core import registry; assert len(registry.architectures()) >= 4 and len(registry.datasets()) >= 6",
    ],
    ids=["ganzoo", "ganzoo.data", "every card"],
)
def test_importing_loads_nothing_heavy(code: str) -> None:
    assert loaded_after(code) == set()


@pytest.mark.parametrize("name", [e.target for e in (*registry.architectures(), *registry.datasets())])
def test_the_module_of_a_built_in_card_names_no_heavy_import(name: str) -> None:
    module = sys.modules[name.partition(":")[0]]
    assert not [heavy for heavy in HEAVY if heavy in vars(module)]


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (("list", "--json"), set()),
        (("list",), {"rich"}),
        (("datasets", "--json"), {"numpy"}),
        (("--help",), set()),
        (("--version",), set()),
        (("train", "--help"), set()),
        (("sample", "--help"), set()),
        (("info", "--help"), set()),
        (("bench", "--help"), set()),
        (("evaluate", "--help"), set()),
        (("compare", "--help"), set()),
        (("check", "--help"), set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_commands_that_only_tell_stay_light(arguments: tuple[str, ...], allowed: set[str]) -> None:
    assert loaded_after("from ganzoo.cli import main; main()", *arguments) <= allowed


def test_public_names_resolve_and_others_do_not() -> None:
    for name in ganzoo.__all__:
        assert getattr(ganzoo, name) is not None
    assert dir(ganzoo) == sorted(ganzoo.__all__)
    with pytest.raises(AttributeError, match="module 'ganzoo' has no attribute 'tran'"):
        ganzoo.tran  # noqa: B018


def test_public_lists_hold_the_built_ins() -> None:
    assert {"vanilla", "dcgan", "cgan", "wgan"} <= set(ganzoo.architectures())
    assert {"mnist", "fashion_mnist", "kmnist", "cifar10", "digits", "folder", "ring", "grid"} <= set(ganzoo.datasets())
