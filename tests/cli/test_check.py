"""`ganzoo check`: its output and exit codes."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from ganzoo.testing import checks
from ganzoo.testing.checks import ARCHITECTURE, DATASET
from tests.conftest import Command, Site

MISTAKEN = """
    from ganzoo_plugins.vanilla import Vanilla

    class Boastful(Vanilla):
        api_version = 1
        summary = "the best of all" * 10

    class Candid(Boastful):
        api_version = 1
        expected_failures = {"metadata": "there is so much to say"}
"""
SMALL = ("--set", "generator_widths=8", "--set", "discriminator_widths=8")


def test_a_good_architecture_passes_every_check(ganzoo_cli: Command) -> None:
    result = ganzoo_cli("check", "vanilla", *SMALL)
    assert (result.code, result.err) == (0, "")
    assert re.findall(r"^ok +(\w+)", result.out, re.MULTILINE) == [rule.name for rule in ARCHITECTURE]
    assert result.out.endswith(f"All {len(ARCHITECTURE)} checks passed.\n")


def test_a_good_data_set_passes_every_check(ganzoo_cli: Command) -> None:
    result = ganzoo_cli("check", "--dataset", "digits")
    assert (result.code, result.err) == (0, "")
    assert re.findall(r"^ok +(\w+)", result.out, re.MULTILINE) == [rule.name for rule in DATASET]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give the name of an architecture, --dataset NAME, --loss NAME"),
        (("cgan", "--dataset", "digits"), "--dataset NAME cannot be combined"),
        (("--dataset", "digits", "--set", "width=3"), "--dataset NAME cannot be combined"),
        (("--loss", "hinge", "--metric", "fid"), "--loss NAME cannot be combined"),
        (("--metric", "fdi"), "No metric is called 'fdi'"),
        (("--penalty", "none"), "penalty=none is no function to check"),
        (("cgna",), "Did you mean cgan"),
        (("--dataset", "digts"), "Did you mean digits"),
        (("--dataset", "folder"), "write folder:PATH"),
        (("cgan", "--set", "widht=3"), "Did you mean width?"),
    ],
)
def test_wrong_usage_is_one_message(arguments: tuple[str, ...], message: str, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("check", *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_missing_data_is_not_a_failure_of_the_plugin(ganzoo_cli: Command) -> None:
    result = ganzoo_cli("check", "--dataset", "folder:/no/such/folder")
    assert result.code == 1
    assert result.err == "Error: The folder /no/such/folder does not exist.\n"


def test_failures_say_what_to_change_and_expected_ones_give_their_reason(
    site: Site, install: Callable[[Site], None], ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = 3
    monkeypatch.setattr(checks, "ARCHITECTURE", ARCHITECTURE[:total])
    site.add("mistaken", MISTAKEN, {"boastful": "Boastful", "candid": "Candid"})
    install(site)
    boastful, candid = (ganzoo_cli("check", name, *SMALL) for name in ("boastful", "candid"))
    assert (boastful.code, candid.code) == (1, 0)
    assert re.search(r"^failed +metadata +summary is 'the best.*\n +Change: write one line", boastful.out, re.MULTILINE)
    assert re.search(r"^expected +metadata +failed as expected: there is so much to say", candid.out, re.MULTILINE)
    assert boastful.out.endswith(f"{total - 1} of {total} checks passed.\n")
    assert candid.out.endswith(f"{total - 1} of {total} checks passed, 1 failed as expected.\n")
    assert "known to fail the check metadata: there is so much to say" in ganzoo_cli("info", "candid").out
