"""Checks of the card find the mistakes they are meant for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from ganzoo.core import plugin
from ganzoo.core.config import setting
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.gan import GAN
from tests.conftest import Site
from tests.testing.architectures import Good, assert_found, outcome


@dataclass(frozen=True, kw_only=True)
class Unexplained(plugin.Config):
    width: int = 3


@dataclass(frozen=True, kw_only=True)
class LostOnTheWay(plugin.Config):
    names: tuple[str, ...] = setting(("a,b", "c"), "words")


MISTAKES = [
    pytest.param("settings", {"Config": Unexplained}, "the setting width has no help text", id="settings-Unexplained"),
    pytest.param("settings", {"Config": LostOnTheWay}, "written to --set and read back", id="settings-LostOnTheWay"),
    pytest.param("metadata", {"summary": "x" * 200}, "summary is 'xxx", id="metadata-long"),
    pytest.param("metadata", {"paper": " "}, "paper is ' '", id="metadata-blank"),
]


@pytest.mark.parametrize(("name", "attributes", "problem"), MISTAKES)
def test_each_mistake_is_found(name: str, attributes: dict[str, Any], problem: str) -> None:
    assert_found(name, attributes, problem)


def test_a_card_that_imports_heavy_packages_or_is_in_a_script_is_found(site: Site, monkeypatch: Any) -> None:
    site.add("heavy", "import numpy")
    for module, problem in (
        ("heavy", "importing heavy imports numpy"),
        ("__main__", "in a script"),
        ("gone", "No module"),
    ):
        monkeypatch.syspath_prepend(str(site.path))
        card = type("Heavy", (Good,), {"__module__": module})
        assert problem in str(outcome(card, "metadata").error)


def test_a_card_may_say_which_data_it_is_checked_with() -> None:
    class Wide(Good):
        def build(self, config: Any, spec: DataSpec) -> GAN:
            if spec.channels != 5:
                raise UsageError("Five channels are needed.")
            return super().build(config, spec)

        def example(self, config: Any) -> DataSpec:
            return DataSpec(5, 12, 10)

    for name in ("shapes", "impossible_size", "trains", "seed"):
        assert outcome(Wide, name).status == "ok"
