"""The conformance kit: what an architecture or a data set must do to be at home in ganzoo, as named checks.


    def test_conformance(check):
        check()

`ganzoo check mygan` runs the same checks in the terminal, `check_architecture(MyGAN)` from any code.
"""

from ganzoo.testing.checks import architecture_checks, check_architecture, check_dataset, dataset_checks
from ganzoo.testing.kit import Check, CheckError, Result, run
from ganzoo.testing.parametrize import parametrize_checks

__all__ = [
    "Check",
    "CheckError",
    "Result",
    "architecture_checks",
    "check_architecture",
    "check_dataset",
    "dataset_checks",
    "parametrize_checks",
    "run",
]
