"""The rules for each kind of plugin, and the checks of one plugin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ganzoo.core import registry
from ganzoo.core.plugin import Architecture, expected_failures
from ganzoo.losses import get_loss
from ganzoo.testing import card, datasets, losses, networks, ranks, training
from ganzoo.testing.datasets import DatasetFixture
from ganzoo.testing.fixtures import ArchitectureFixture
from ganzoo.testing.kit import Check, Rule, checks_of, run_all
from ganzoo.testing.losses import LossFixture

ARCHITECTURE: tuple[Rule[ArchitectureFixture], ...] = (
    card.metadata,
    card.settings,
    networks.shapes,
    networks.output_range,
    networks.logits,
    networks.condition,
    networks.impossible_size,
    networks.seed,
    networks.safetensors,
    training.generator_step,
    training.discriminator_step,
    training.gradients,
    training.accumulate,
    training.objectives,
    training.trains,
    training.logs,
    training.resume,
    ranks.ranks,
    training.no_sync,
    training.bf16,
    networks.channels_last,
    networks.compile,
)

DATASET: tuple[Rule[DatasetFixture], ...] = (
    card.metadata,
    datasets.on_disk,
    datasets.values,
    datasets.labels,
    datasets.pairs,
    datasets.repeatable,
    datasets.identity,
    datasets.image_size,
    datasets.splits,
    datasets.wrong_argument,
)


LOSS: tuple[Rule[LossFixture], ...] = (losses.scalar, losses.finite, losses.directions)


def architecture_checks(architecture: str | type[Architecture], **settings: Any) -> Iterator[Check]:
    """Every check of an architecture, given by its name or its class.

    `settings` replace defaults of its Config. Raises UsageError for an unknown name, invalid settings, and an expected
    failure without a reason; PluginError if the plugin cannot be used.
    """
    if isinstance(architecture, str):
        architecture_card = registry.find_architecture(architecture).card
    else:
        architecture_card = registry.validate(architecture, Architecture)
    fixture = ArchitectureFixture(architecture_card, settings)
    failures = expected_failures(architecture_card, fixture.config())
    return checks_of(ARCHITECTURE, fixture, failures)


def check_architecture(architecture: str | type[Architecture], **settings: Any) -> None:
    """Run all `architecture_checks`; raise one CheckError that lists the failures and what to change."""
    run_all(architecture_checks(architecture, **settings), "the architecture")


def dataset_checks(dataset: str) -> Iterator[Check]:
    """Every check of the data set called `name` or `name:ARGUMENT`. Running them loads it, which may download it.

    Raises UsageError and PluginError as `architecture_checks` does.
    """
    dataset_card, argument = registry.get_dataset(dataset)
    return checks_of(DATASET, DatasetFixture(dataset_card, argument), dataset_card.expected_failures)


def check_dataset(dataset: str) -> None:
    """Run all `dataset_checks`; raise one CheckError that lists the failures and what to change."""
    run_all(dataset_checks(dataset), f"the data set {dataset}")


def loss_checks(loss: str) -> Iterator[Check]:
    """Every check of the loss called `loss`. Raises UsageError and PluginError as `architecture_checks` does."""
    return checks_of(LOSS, LossFixture(get_loss(loss)), {})
