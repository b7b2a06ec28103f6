"""Third-party architectures: working ones are listed and used, broken ones are listed with the reason."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganzoo.core import registry
from ganzoo.core.entry_points import ARCHITECTURES, points
from ganzoo.core.errors import PluginError, UsageError
from tests.conftest import GOOD_ARCHITECTURE, Command, Result, Site

MALFORMED = """
    from dataclasses import dataclass
    from pathlib import Path
    from ganzoo.core import plugin

    def function(): ...

    class Unrelated: ...

    class Base(plugin.Architecture):
        def build(self, config, spec): ...

    class Complete(Base):
        api_version = 1
        summary = "complete"
        paper = "none"

    instance = Complete()

    class NoVersion(Base):
        summary = paper = "x"

    class Future(Complete):
        api_version = 99

    class VersionText(Complete):
        api_version = "1"

    class NoSummary(Base):
        api_version = 1
        paper = "x"

    class NoPaper(Base):
        api_version = 1
        summary = "x"

    class SummaryNoText(Complete):
        summary = Path("x")

    class ConditionalNoBool(Complete):
        conditional = "yes"

    class BothKinds(Complete):
        conditional = paired = True

    class SummaryRaises(Complete):
        @property
        def summary(self):
            raise RuntimeError("no summary today")

    class NoBuild(plugin.Architecture):
        api_version = 1
        summary = paper = "x"

    class ConfigNoConfig(Complete):
        Config = dict

    class ConfigUnfinished(Complete):
        @dataclass(frozen=True, kw_only=True)
        class Config(plugin.Config):
            must: int

    class ConfigContradictory(Complete):
        @dataclass(frozen=True, kw_only=True)
        class Config(plugin.Config):
            loss: plugin.LossName = "wasserstein"

    class ConfigPlain(Complete):
        class Config(plugin.Config):
            width: int = 3

    class ConfigClashes(Complete):
        @dataclass(frozen=True, kw_only=True)
        class Config(plugin.Config):
            loss: str = "bce"
"""

BROKEN = {
    "raises": r"RuntimeError: the rotor is stuck",
    "exits": r"SystemExit: goodbye",
    "syntax": r"SyntaxError",
    "no_such_module": r"ModuleNotFoundError: No module named 'no_such_module'",
    "no_such_object": r"AttributeError: .*no_such_object",
    "function": r"must be a subclass of ganzoo.Architecture, but is a function",
    "instance": r"must be a subclass of ganzoo.Architecture, but is a Complete",
    "unrelated": r"must be a subclass of ganzoo.Architecture, but is the class Unrelated",
    "no_version": r"states no api_version; this ganzoo offers API 1 and 2",
    "future": r"was written for plugin API 99; this ganzoo offers API 1 and 2",
    "version_text": r"was written for plugin API '1'; this ganzoo offers API 1 and 2",
    "no_summary": r"lacks the attribute 'summary'",
    "no_paper": r"lacks the attribute 'paper'",
    "summary_no_text": r"summary must be text, but is a PosixPath",
    "conditional_no_bool": r"conditional must be True or False, but is a str",
    "summary_raises": r"RuntimeError: no summary today",
    "no_build": r"does not implement build",
    "config_no_config": r"Config must be a subclass of ganzoo.Config",
    "config_unfinished": r"must has no default",
    "config_contradictory": r"loss=wasserstein with penalty=none",
    "config_plain": r"does not turn width into a setting: write @dataclass\(frozen=True, kw_only=True\)",
    "config_clashes": r"loss=bce is not valid: no loss is called 'bce'. Known: energy, hinge, ",
    "contested": r"'contested' is also claimed by rival-[ab] 1.0; use it as rival-[ab]:contested",
}
WITH_TRACEBACK = ["raises", "exits", "syntax", "no_such_module", "no_such_object", "summary_raises"]
BUILT_IN = [point.name for point in points(ARCHITECTURES) if point.value.startswith("ganzoo_plugins.")]
BUILT_IN.sort()


def camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Every kind of broken architecture plugin, and working ones, one of which prints when imported."""
    site = Site(tmp_path_factory.mktemp("zoo"))
    site.add("zoo-raises", 'value = 1\nraise RuntimeError("the rotor is stuck")', {"raises": "X"})
    site.add("zoo-exits", 'import sys\nsys.exit("goodbye")', {"exits": "X"})
    site.add("zoo-syntax", "def broken(:", {"syntax": "X"})
    site.add("zoo-talks", f'{GOOD_ARCHITECTURE}\n    print("a plugin that talks")', {"talks": "Good"})
    site.add("zoo-good", GOOD_ARCHITECTURE, {"goodgan": "Good"}, version="2.1")
    shapes = [name for name in BROKEN if name not in (*WITH_TRACEBACK, "function", "instance", "contested")]
    points = {name: camel(name) for name in [*shapes, "summary_raises"]}
    site.add("zoo-shapes", MALFORMED, {**points, "function": "function", "instance": "instance"})
    site.add("zoo-lost", "", {"no_such_object": "no_such_object"})
    site.add("zoo-gone", "", {"no_such_module": "X"})
    points_file = site.path / "zoo_gone-1.0.dist-info" / "entry_points.txt"
    points_file.write_text("[ganzoo.architectures]\nno_such_module = no_such_module:X\n")
    site.add("thief", GOOD_ARCHITECTURE, {"cgan": "Good"}, version="3.0")
    site.add("rival-a", GOOD_ARCHITECTURE, {"contested": "Good"})
    site.add("rival-b", GOOD_ARCHITECTURE, {"contested": "Good"})
    return site


@pytest.fixture(scope="session")
def listed(zoo: Site) -> Result:
    return zoo.run("list", "--json")


@pytest.fixture(scope="session")
def rows(listed: Result) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = json.loads(listed.out)
    return result


@pytest.fixture(scope="session")
def table(zoo: Site) -> Result:
    return zoo.run("list")


def test_list_succeeds_beside_broken_plugins(listed: Result, table: Result) -> None:
    assert listed.code == 0
    assert table.code == 0
    assert "Traceback" not in listed.err + table.err


@pytest.mark.parametrize("name", BROKEN)
def test_broken_plugin_is_a_row_with_its_reason(name: str, rows: list[dict[str, Any]], table: Result) -> None:
    matches = [row for row in rows if row["name"] == name]
    assert len(matches) == (2 if name == "contested" else 1)
    for row in matches:
        assert row["status"] == "broken"
        assert re.search(BROKEN[name], row["error"])
        assert row["distribution"].startswith(("zoo-", "rival-"))
    assert re.search(rf"^{name} +broken: .*{BROKEN[name]}", table.out, re.MULTILINE)


def test_built_ins_are_unaffected_by_broken_plugins(rows: list[dict[str, Any]], ganzoo_cli: Command) -> None:
    alone = json.loads(ganzoo_cli("list", "--json").out)
    assert [row["name"] for row in alone] == BUILT_IN
    assert [row for row in rows if row["distribution"] == "ganzoo-core"] == alone
    assert all(row["status"] == "ok" for row in alone)


def test_a_working_third_party_plugin_is_listed(rows: list[dict[str, Any]]) -> None:
    (row,) = (row for row in rows if row["name"] == "goodgan")
    assert row == {
        "name": "goodgan",
        "summary": "a third-party architecture",
        "paper": "Nobody 2026, A Paper",
        "conditional": False,
        "paired": False,
        "distribution": "zoo-good",
        "version": "2.1",
        "status": "ok",
        "error": None,
    }


def test_a_plugin_that_prints_on_import_prints_to_stderr_only(listed: Result, rows: list[dict[str, Any]]) -> None:
    assert "a plugin that talks" in listed.err
    assert "a plugin that talks" not in listed.out
    assert next(row for row in rows if row["name"] == "talks")["status"] == "ok"


def test_a_built_in_keeps_its_name_and_the_other_plugin_says_so(rows: list[dict[str, Any]]) -> None:
    own, thief = (row for row in rows if row["name"] == "cgan")
    assert (own["distribution"], own["status"]) == ("ganzoo-core", "ok")
    assert (thief["distribution"], thief["status"]) == ("thief", "broken")
    assert re.search(r"'cgan' is also claimed by ganzoo-core \S+; use it as thief:cgan", thief["error"])


@pytest.mark.parametrize("command", [("info",), ("train", "--dataset", "digits", "--dry-run")], ids=["info", "train"])
@pytest.mark.parametrize("name", BROKEN)
def test_using_a_broken_plugin_shows_the_whole_cause(
    name: str, command: tuple[str, ...], zoo: Site, install: Callable[[Site], None], ganzoo_cli: Command
) -> None:
    install(zoo)
    result = ganzoo_cli(command[0], name, *command[1:])
    assert result.code == 1
    assert result.out == ""
    first = next(line for line in result.err.splitlines() if "plugin that talks" not in line)
    assert first.startswith(f"Error: The architecture '{name}' from ")
    assert re.search(BROKEN[name], first)
    assert result.err.count("Traceback (most recent call last)") == (name in WITH_TRACEBACK)


def test_cause_names_the_plugins_own_line(zoo: Site, install: Callable[[Site], None]) -> None:
    install(zoo)
    with pytest.raises(PluginError, match=r"(?s)zoo_raises.py\", line 2.*raise RuntimeError.*the rotor is stuck"):
        registry.get_architecture("raises")


@pytest.mark.parametrize("name", ["goodgan", "talks", "thief:cgan", "rival-a:contested", "rival-b:contested"])
def test_a_third_party_plugin_works(name: str, zoo: Site, install: Callable[[Site], None], ganzoo_cli: Command) -> None:
    install(zoo)
    result = ganzoo_cli("info", name)
    assert result.code == 0
    assert "Nobody 2026, A Paper" in result.out
    assert re.search(r"^depth +3 +integer +how deep it goes", result.out, re.MULTILINE)
    assert re.search(r"^generator +79,184", result.out, re.MULTILINE)


def test_the_plain_name_stays_the_built_ins(zoo: Site, install: Callable[[Site], None]) -> None:
    install(zoo)
    assert registry.get_architecture("cgan").distribution == "ganzoo-core"
    assert registry.get_architecture("ganzoo:cgan").distribution == "ganzoo-core"
    assert registry.get_architecture("thief:cgan").distribution == "thief"


def test_a_name_qualified_by_the_former_distribution_is_the_built_in(
    site: Site, install: Callable[[Site], None]
) -> None:
    site.add("ganzoo", GOOD_ARCHITECTURE, {"cgan": "Good"}, version="0.0.1")
    install(site)
    for name in ("ganzoo:cgan", "ganzoo-core:cgan", "cgan"):
        assert registry.get_architecture(name).qualified_name == "ganzoo-core:cgan"
    assert registry.canonical_distribution("ganzoo") == registry.OWN_DISTRIBUTION == "ganzoo-core"
    assert registry.canonical_distribution("thief") == "thief"


def test_a_plugin_got_by_name_imports_no_other_package(site: Site, install: Callable[[Site], None]) -> None:
    site.add("one", GOOD_ARCHITECTURE, {"one": "Good"})
    site.add("other", GOOD_ARCHITECTURE, {"other": "Good"})
    install(site)
    for name in ("one", "one:one"):
        assert registry.get_architecture(name).distribution == "one"
    assert ("one" in sys.modules, "other" in sys.modules) == (True, False)
    assert {"one", "other"} <= {entry.name for entry in registry.architectures()}
    assert "other" in sys.modules


def test_refresh_finds_packages_installed_since(site: Site, install: Callable[[Site], None]) -> None:
    install(site)
    site.add("late", GOOD_ARCHITECTURE, {"late": "Good"})
    registry.refresh()
    assert registry.get_architecture("late").distribution == "late"


def test_broken_plugin_with_a_taken_name_cannot_be_used_by_any_name(
    site: Site, install: Callable[[Site], None]
) -> None:
    site.add("stuck", 'raise RuntimeError("stuck")', {"cgan": "X"})
    install(site)
    (entry,) = (e for e in registry.architectures() if e.distribution == "stuck")
    assert re.search(r"RuntimeError: stuck; the name 'cgan' is also claimed by ganzoo-core", entry.error or "")
    assert "use it as" not in (entry.error or "")
    with pytest.raises(PluginError, match="RuntimeError: stuck"):
        registry.get_architecture("stuck:cgan")


def test_distribution_without_metadata_breaks_nothing(site: Site, install: Callable[[Site], None]) -> None:
    site.add("whole", GOOD_ARCHITECTURE, {"spirit": "Good"})
    site.add("ghost", GOOD_ARCHITECTURE, {"spirit": "Good"})
    (site.path / "ghost-1.0.dist-info" / "METADATA").unlink()
    install(site)
    entries = [entry for entry in registry.architectures() if entry.name == "spirit"]
    assert [entry.distribution for entry in entries] == ["unknown", "whole"]
    assert [entry.name for entry in registry.architectures() if entry.error is None] == BUILT_IN


@pytest.mark.parametrize(
    ("word", "meant"), [("cgna", "cgan"), ("dcgn", "dcgan"), ("vanila", "vanilla"), ("dragn", "dragan")]
)
@pytest.mark.parametrize("command", [("info",), ("train", "--dataset", "digits")], ids=["info", "train"])
def test_unknown_architecture_is_wrong_usage_with_a_hint(
    word: str, meant: str, command: tuple[str, ...], ganzoo_cli: Command
) -> None:
    result = ganzoo_cli(command[0], word, *command[1:])
    assert result.code == 2
    assert re.fullmatch(rf"Error: No architecture is called '{word}'\. Did you mean {meant}\b.*\?\n", result.err)


def test_an_unknown_name_that_is_a_data_set_says_so(ganzoo_cli: Command) -> None:
    result = ganzoo_cli("info", "mnist")
    assert (result.code, result.err) == (2, "Error: No architecture is called 'mnist'. It is a data set.\n")


def test_an_architecture_that_was_written_but_not_installed_says_so(
    ganzoo_cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ganzoo_cli("new", "my_gan").code == 0
    result = ganzoo_cli("train", "my_gan", "--dataset", "digits")
    assert result.code == 2
    assert result.err.endswith("The package in ./ganzoo-my-gan is not installed: pip install -e ganzoo-my-gan\n")


def test_a_name_like_no_other_lists_all_names() -> None:
    with pytest.raises(UsageError, match="Known: " + ", ".join(BUILT_IN)):
        registry.get_architecture("zzzzzzzz")


def test_every_built_in_card_is_complete() -> None:
    for entry in (*registry.architectures(), *registry.datasets()):
        assert entry.error is None
        assert entry.distribution == "ganzoo-core"
        assert entry.card.summary
    assert all(re.search(r"\b(19|20)\d\d\b.*arXiv:\d{4}\.\d{4,5}", e.card.paper) for e in registry.architectures())


def test_a_plugin_that_cannot_build_its_networks_is_named_with_the_cause(
    site: Site, install: Callable[[Site], None], ganzoo_cli: Command
) -> None:
    fragile = "\n    class Fragile(Good):\n        def build(self, config, spec):\n            return 1 / 0\n"
    site.add("zoo-fragile", GOOD_ARCHITECTURE + fragile, {"fragile": "Fragile"})
    install(site)
    result = ganzoo_cli("train", "fragile", "--dataset", "digits", "--steps", 1)
    assert result.code == 1
    assert "fragile from zoo-fragile 1.0 could not build its networks for 1x8x8 images" in result.err
    assert "return 1 / 0" in result.err
