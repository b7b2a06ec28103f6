"""The checks under pytest: expected failures, and checks that were left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganzoo.testing.checks import ARCHITECTURE

pytest_plugins = ["pytester"]
CHECKS = len(ARCHITECTURE) + 1  # and `complete`

CARD = """
    from dataclasses import dataclass
    from ganzoo.core.plugin import Architecture
    from ganzoo_plugins.vanilla import Vanilla, VanillaConfig

    @dataclass(frozen=True, kw_only=True)
    class Small(VanillaConfig):
        generator_widths: tuple[int, ...] = (8,)
        discriminator_widths: tuple[int, ...] = (8,)

    class Mine(Vanilla):
        api_version = 1
        Config = Small
"""
BODY = """
    from mine import Mine
    from ganzoo.testing import parametrize_checks
"""


def run(pytester: pytest.Pytester, test: str, *words: str, card: str = "") -> pytest.RunResult:
    import textwrap

    pytester.makepyfile(mine=textwrap.dedent(CARD) + card)
    pytester.syspathinsert()
    pytester.makepyfile(textwrap.dedent(BODY) + textwrap.dedent(test))
    return pytester.runpytest_inprocess("-q", "-p", "no:cacheprovider", "-p", "no:benchmark", *words)


GOOD = """
    @parametrize_checks(Mine)
    def test_conformance(check):
        check()
"""


def test_a_good_plugin_passes_and_every_check_is_a_test_of_its_own(pytester: pytest.Pytester) -> None:
    slow = ("compile", "objectives", "ranks")
    result = run(pytester, GOOD, "-k", " and ".join(f"not {name}" for name in (*slow, "complete")), "-vv")
    result.assert_outcomes(passed=CHECKS - 4, deselected=4)
    result.stdout.fnmatch_lines(["*test_conformance?seed? PASSED*", "*test_conformance?resume? PASSED*"])


def test_an_expected_failure_is_one_for_pytest(pytester: pytest.Pytester) -> None:
    late = '\nMine.summary = "x" * 200\nMine.expected_failures = {"metadata": "its story is long"}\n'
    run(pytester, GOOD, "-k", "metadata", card=late).assert_outcomes(xfailed=1, deselected=CHECKS - 1)


def test_an_expected_failure_that_passes_is_a_failure(pytester: pytest.Pytester) -> None:
    result = run(pytester, GOOD, "-k", "metadata", card='\nMine.expected_failures = {"metadata": "once it failed"}\n')
    result.assert_outcomes(failed=1, deselected=CHECKS - 1)


@pytest.mark.parametrize("way", ["return", "import pytest; pytest.skip('slow')", "import pytest; pytest.xfail('slow')"])
def test_a_check_that_is_not_called_is_a_failure(way: str, pytester: pytest.Pytester) -> None:
    test = f"""
    @parametrize_checks(Mine)
    def test_conformance(check):
        if check.name == "metadata":
            {way}
        check()
    """
    result = run(pytester, test, "-k", "metadata or settings")
    result.assert_outcomes(failed=1, passed=1, deselected=CHECKS - 2)
    result.stdout.fnmatch_lines(["*the test ended without calling the check metadata*"])


def test_a_deselected_check_is_a_failure(pytester: pytest.Pytester) -> None:
    name = "test_a_deselected_check_is_a_failure.py::test_conformance"
    keep = "metadata or settings or complete"
    result = run(pytester, GOOD, "-k", keep, "--deselect", f"{name}[settings]")
    result.assert_outcomes(failed=1, passed=1, deselected=CHECKS - 2)
    result.stdout.fnmatch_lines(["*deselected: settings, shapes, *"])


def test_fixtures_still_work(pytester: pytest.Pytester, tmp_path: Path) -> None:
    test = """
    @parametrize_checks(Mine)
    def test_conformance(tmp_path, check, request):
        assert tmp_path.exists()
        assert check.name in request.node.name
        check()
    """
    run(pytester, test, "-k", "metadata").assert_outcomes(passed=1, deselected=CHECKS - 1)
