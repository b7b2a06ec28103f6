"""Third-party data sets, working and broken, and the names of data sets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ganzoo.core import registry
from ganzoo.core.spec import DataLocation
from tests.conftest import GOOD_DATASET, Command, Site
from tests.core.registry.test_architectures import camel

MALFORMED_DATASETS = """
    from ganzoo.core import plugin

    class Architecture(plugin.Architecture): ...

    class NoLoad(plugin.Dataset):
        api_version = 1
        summary = source = "x"

    class Complete(plugin.Dataset):
        api_version = 1
        summary = source = "x"

        def load(self, where, split, image_size, argument):
            raise AssertionError

    class Future(Complete):
        api_version = 99

    class NoSource(plugin.Dataset):
        api_version = 1
        summary = "x"

        def load(self, where, split, image_size, argument):
            raise AssertionError

    class ArgumentNoText(Complete):
        argument = True

    class OnDiskRaises(Complete):
        def on_disk(self, where):
            raise RuntimeError("the disk is out")
"""
BROKEN_DATASETS = {
    "raising_data": r"RuntimeError: no images today",
    "architecture": r"must be a subclass of ganzoo.Dataset, but is the class Architecture",
    "no_load": r"does not implement load",
    "future": r"was written for plugin API 99",
    "no_source": r"lacks the attribute 'source'",
    "argument_no_text": r"argument must be text or None, but is a bool",
    "contested_data": r"'contested_data' is also claimed by data-rival-[ab] 1.0",
}


@pytest.fixture(scope="session")
def data_zoo(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("data-zoo"))
    shapes = [name for name in BROKEN_DATASETS if name not in ("raising_data", "contested_data")]
    site.add("data-raises", 'raise RuntimeError("no images today")', datasets={"raising_data": "X"})
    site.add("data-shapes", MALFORMED_DATASETS, datasets={name: camel(name) for name in [*shapes, "on_disk_raises"]})
    site.add("data-good", GOOD_DATASET, datasets={"good_data": "Good", "good_path": "WithArgument"})
    site.add("data-thief", GOOD_DATASET, datasets={"digits": "Good", "folder": "WithArgument"})
    site.add("data-rival-a", GOOD_DATASET, datasets={"contested_data": "Good"})
    site.add("data-rival-b", GOOD_DATASET, datasets={"contested_data": "Good"})
    return site


def test_broken_data_sets_are_rows_and_all_others_work(
    data_zoo: Site, install: Callable[[Site], None], ganzoo_cli: Command
) -> None:
    alone = json.loads(ganzoo_cli("datasets", "--json").out)
    install(data_zoo)
    listed = ganzoo_cli("datasets", "--json")
    assert listed.code == 0
    rows = json.loads(listed.out)
    assert [row for row in rows if row["distribution"] == "ganzoo-core"] == alone
    for name, reason in {**BROKEN_DATASETS, "on_disk_raises": "on_disk raised RuntimeError: the disk is out"}.items():
        matches = [row for row in rows if row["name"] == name]
        assert matches, name
        for row in matches:
            assert row["status"] == "broken", name
            assert re.search(reason, row["error"]), name
    assert {row["name"] for row in rows if row["status"] == "ok"} == {row["name"] for row in alone} | {
        "good_data",
        "good_path",
    }
    table = ganzoo_cli("datasets")
    assert table.code == 0
    for name, reason in BROKEN_DATASETS.items():
        assert re.search(rf"^{name} +broken: .*{reason}", table.out, re.MULTILINE), name


@pytest.mark.parametrize("ending", ["", ":some/path"])
@pytest.mark.parametrize("name", BROKEN_DATASETS)
def test_using_a_broken_data_set_shows_the_whole_cause(
    name: str, ending: str, data_zoo: Site, install: Callable[[Site], None], ganzoo_cli: Command
) -> None:
    install(data_zoo)
    result = ganzoo_cli("train", "vanilla", "--dataset", name + ending, "--dry-run")
    assert result.code == 1
    assert result.err.startswith(f"Error: The data set '{name}' from ")
    assert re.search(BROKEN_DATASETS[name], result.err)
    assert result.err.count("Traceback (most recent call last)") == (name == "raising_data")


def test_a_third_party_data_set_can_be_trained_on(
    data_zoo: Site, install: Callable[[Site], None], ganzoo_cli: Command
) -> None:
    install(data_zoo)
    result = ganzoo_cli("train", "vanilla", "--dataset", "good_data", "--dry-run", "--json")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out)["dataset"]["size"] == 8


@pytest.mark.parametrize(
    ("name", "distribution", "argument"),
    [
        ("digits", "ganzoo", None),
        ("folder:a/b", "ganzoo", "a/b"),
        ("folder:C:/b", "ganzoo", "C:/b"),
        ("ganzoo-core:digits", "ganzoo", None),
        ("ganzoo-core:folder:a/b", "ganzoo", "a/b"),
        ("ganzoo:digits", "ganzoo", None),
        ("ganzoo:folder:a/b", "ganzoo", "a/b"),
        ("data-thief:digits", "data_thief", None),
        ("data-thief:folder:a/b", "data_thief", "a/b"),
        ("good_path:x", "data_good", "x"),
        ("data-rival-b:contested_data", "data_rival_b", None),
    ],
)
def test_data_set_names(
    name: str, distribution: str, argument: str | None, data_zoo: Site, install: Callable[[Site], None]
) -> None:
    install(data_zoo)
    card, given = registry.get_dataset(name)
    assert type(card).__module__.partition(".")[0].replace("ganzoo_plugins", "ganzoo") == distribution
    assert given == argument


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "No data set is called 'mnits'. Did you mean mnist"),
        ("foldr:a/b", "No data set is called 'foldr:a/b'. Did you mean folder?"),
        ("folder", "needs its PATH: write folder:PATH"),
        ("folder:", "needs its PATH: write folder:PATH"),
        ("digits:a", "takes no argument, but got 'a'"),
        ("cgan", "No data set is called 'cgan'. It is an architecture."),
        ("unknown:digits", "No data set is called 'unknown:digits'"),
    ],
)
def test_wrong_data_set_names_are_wrong_usage(name: str, message: str, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("train", "vanilla", "--dataset", name)
    assert result.code == 2
    assert message in result.err


def test_the_path_of_a_folder_says_how_to_write_it(ganzoo_cli: Command, tmp_path: Path) -> None:
    result = ganzoo_cli("train", "vanilla", "--dataset", tmp_path)
    assert result.code == 2
    assert result.err.endswith(f"To use the images in this folder, write folder:{tmp_path}.\n")


def test_data_directory_comes_from_the_argument_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANZOO_DATA", "/from/environment")
    assert DataLocation.find("/given").given == Path("/given")
    assert DataLocation.find().given == Path("/from/environment")
    monkeypatch.delenv("GANZOO_DATA")
    assert DataLocation.find().given is None
