from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ganzoo import __version__
from ganzoo.core import registry
from ganzoo.ops import cpu_library
from ganzoo.ops.library import Loaded
from tests.conftest import GOOD_ARCHITECTURE, Command, Site


@pytest.fixture
def report(ganzoo_cli: Command) -> str:
    result = ganzoo_cli("doctor")
    assert (result.code, result.err) == (0, "")
    return result.out


@pytest.mark.parametrize(
    "line",
    [
        rf"ganzoo +{re.escape(__version__)} \(package ganzoo-core\)",
        rf"torch +{re.escape(torch.__version__)}",
        r"python +3\.\d+",
        r"numpy +\d",
        r"devices +cpu",
        rf"threads +{torch.get_num_threads()} of \d+",
        r"native extension +\S+",
        r"cuda kernels +\S+",
        r"data cache +\S*ganzoo",
        r"terminal +not a terminal",
    ],
)
def test_doctor_describes_the_installation(line: str, report: str) -> None:
    assert re.search(rf"^{line}", report, re.MULTILINE)


def test_doctor_lists_every_plugin_with_its_import_time(report: str) -> None:
    for kind, entries in (("architecture", registry.architectures()), ("data set", registry.datasets())):
        for entry in entries:
            assert re.search(rf"^{entry.name} +{kind} +{entry.distribution} \S+ +[\d.]+ ms +ok", report, re.MULTILINE)


def test_doctor_shows_broken_plugins(site: Site, install: Callable[[Site], None], ganzoo_cli: Command) -> None:
    site.add("stuck", 'raise RuntimeError("the rotor is stuck")', {"stuck": "X"})
    site.add("thief", GOOD_ARCHITECTURE, {"cgan": "Good"})
    install(site)
    result = ganzoo_cli("doctor")
    assert result.code == 0
    assert re.search(r"^stuck +architecture +stuck 1.0 .* RuntimeError: the rotor is stuck", result.out, re.MULTILINE)
    assert re.search(r"^cgan +architecture +thief 1.0 .* use it as thief:cgan", result.out, re.MULTILINE)


def test_doctor_warns_of_another_package_called_ganzoo(
    report: str, site: Site, install: Callable[[Site], None], ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "warning" not in report
    site.add("ganzoo", "", version="0.0.1")
    install(site)
    advice = "pip uninstall ganzoo, then pip install --force-reinstall --no-deps ganzoo-core"
    result = ganzoo_cli("doctor")
    assert result.code == 0
    assert re.search(
        rf"^warning +the package ganzoo 0.0.1 is installed as well, .*: {advice}", result.out, re.MULTILINE
    )


def test_doctor_runs_if_that_package_has_replaced_our_files(site: Site) -> None:
    ours = Path(registry.__file__).parents[1]
    (site.path / "ganzoo").mkdir()
    for path in ours.iterdir():
        if path.name != "__init__.py":
            (site.path / "ganzoo" / path.name).symlink_to(path)
    (site.path / "ganzoo" / "__init__.py").write_text("name = 'ganzoo of 2018'\n")
    info = site.path / "ganzoo-0.0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ganzoo\nVersion: 0.0.1\n")
    result = site.run("doctor")
    assert result.code == 0, result.err
    assert f"has replaced our {site.path}/ganzoo/__init__.py: pip uninstall ganzoo" in result.out


def test_doctor_says_where_data_is_taken_from(
    ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    assert re.search(rf"^GANZOO_DATA +{re.escape(str(tmp_path))}", ganzoo_cli("doctor").out, re.MULTILINE)
    monkeypatch.delenv("GANZOO_DATA")
    assert re.search(r"^GANZOO_DATA +not set", ganzoo_cli("doctor").out, re.MULTILINE)


def test_doctor_says_which_kernels_run_or_why_none_do(ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANZOO_OPS", raising=False)
    if cpu_library.unavailable_reason() is None:
        name = f"{cpu_library.instruction_set()}{' with bfloat16' * cpu_library.has_bfloat16()}"
        kernels = rf"{name}, (built at installation|compiled on first use) \(.*\), backend auto"
        assert re.search(rf"^native extension +{kernels}", ganzoo_cli("doctor").out, re.MULTILINE)
    monkeypatch.setattr(cpu_library.LIBRARY, "loaded", Loaded(None, None, "there is no C++ compiler"))
    line = r"^native extension +none, PyTorch computes every op: there is no C\+\+ compiler"
    assert re.search(line, ganzoo_cli("doctor").out, re.MULTILINE)
