"""The conformance kit: named checks of what ganzoo requires of an architecture or a data set.

    from ganzoo.testing import parametrize_checks

    @parametrize_checks("mygan")
    def test_conformance(check):
        check()

`ganzoo check mygan` runs the same checks in the terminal, and `check_architecture(MyGAN)` runs them from Python.
"""

from ganzoo.testing.checks import (
    architecture_checks,
    augmentation_checks,
    check_architecture,
    check_dataset,
    dataset_checks,
    logger_checks,
    loss_checks,
    metric_checks,
    modality_checks,
    model_checks,
    penalty_checks,
)
from ganzoo.testing.kit import Check, CheckError, Result, run, without_repetitions
from ganzoo.testing.parametrize import parametrize_checks

__all__ = [
    "Check",
    "CheckError",
    "Result",
    "architecture_checks",
    "augmentation_checks",
    "check_architecture",
    "check_dataset",
    "dataset_checks",
    "logger_checks",
    "loss_checks",
    "metric_checks",
    "modality_checks",
    "model_checks",
    "parametrize_checks",
    "penalty_checks",
    "run",
    "without_repetitions",
]
