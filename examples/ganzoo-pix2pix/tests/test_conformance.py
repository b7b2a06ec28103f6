"""The checks of ganzoo's conformance kit, on small networks."""

from ganzoo.testing import Check, parametrize_checks


@parametrize_checks("pix2pix", width=8)
def test_conformance(check: Check) -> None:
    check()
