"""Imports: listing and help import no heavy package, and getting a plugin by name imports that plugin alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import ganzoo
from ganzoo.cli import COMMANDS
from ganzoo.core import registry

HEAVY = ("torch", "torch._dynamo", "numpy", "scipy", "rich", "PIL", "sklearn", "pooch")


def loaded_after(code: str, *argv: str) -> set[str]:
    """The heavy packages that a new process has imported after running `code`."""
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
def test_importing_ganzoo_imports_no_heavy_package(code: str) -> None:
    assert loaded_after(code) == set()


ENTRIES = [*registry.architectures(), *registry.datasets()]
CARD_MODULES = {entry.target.partition(":")[0] for entry in ENTRIES}


@pytest.fixture(scope="module")
def imported_by() -> dict[str, set[str]]:
    """For every plugin, the modules of cards that getting it by name imports, found in a new process."""
    requests = [(e.group, e.name, f"{e.name}:x" if getattr(e.card, "argument", None) else e.name) for e in ENTRIES]
    script = f"""
import json, sys
from ganzoo.core import registry
loaded = {{}}
for group, name, word in {requests!r}:
    for module in {CARD_MODULES!r}:
        sys.modules.pop(module, None)
    registry.refresh()
    {{registry.ARCHITECTURES: registry.get_architecture, registry.DATASETS: registry.get_dataset}}[group](word)
    loaded[name] = [module for module in {CARD_MODULES!r} if module in sys.modules]
print(json.dumps(loaded))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name: set(modules) for name, modules in json.loads(done.stdout).items()}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_getting_a_plugin_by_name_imports_that_plugin_alone(
    entry: registry.Entry, imported_by: dict[str, set[str]]
) -> None:
    assert imported_by[entry.name] == {entry.target.partition(":")[0]}


def test_training_imports_two_plugins() -> None:
    code = "from ganzoo.core import registry; registry.get_architecture('dcgan'); registry.get_dataset('digits')"
    script = f"{code}; import sys; print(*sorted(set({CARD_MODULES!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["ganzoo_plugins.datasets.digits", "ganzoo_plugins.dcgan"], done.stderr


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (("list", "--json"), set()),
        (("list", "--all", "--json"), set()),
        (("list",), {"rich"}),
        (("datasets", "--json"), {"numpy"}),
        (("--help",), set()),
        (("--version",), set()),
        (("completion", "bash"), set()),
        *(((command, "--help"), set()) for command in COMMANDS),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_commands_that_only_print_import_no_heavy_package(arguments: tuple[str, ...], allowed: set[str]) -> None:
    assert loaded_after("from ganzoo.cli import main; main()", *arguments) <= allowed


def test_public_names_resolve_and_others_do_not() -> None:
    for name in ganzoo.__all__:
        assert getattr(ganzoo, name) is not None
    assert dir(ganzoo) == sorted(ganzoo.__all__)
    with pytest.raises(AttributeError, match="module 'ganzoo' has no attribute 'tran'"):
        ganzoo.tran  # noqa: B018


def test_public_lists_contain_the_built_ins() -> None:
    assert {"vanilla", "dcgan", "cgan", "wgan"} <= set(ganzoo.architectures())
    assert {"mnist", "fashion_mnist", "kmnist", "cifar10", "digits", "folder", "ring", "grid"} <= set(ganzoo.datasets())


def test_evaluation_and_its_metrics_import_scipy_only_when_they_need_it() -> None:
    code = "from ganzoo.evaluation.metrics import all_metrics; assert {'frechet', 'memorisation'} <= {*all_metrics()}"
    assert loaded_after(code).isdisjoint({"scipy", "sklearn"})


def test_training_and_resuming_do_not_import_torch_compile(tmp_path: Path) -> None:
    code = f"""
import ganzoo
run = ganzoo.train("cgan", dataset="digits", steps=2, out={str(tmp_path / "run")!r})
ganzoo.train(resume=run.path, steps=4)
"""
    assert loaded_after(code).isdisjoint({"torch._dynamo", "scipy", "sklearn"})
