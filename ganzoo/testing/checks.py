"""The lists of checks, and the one generator of them for each kind of plugin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ganzoo.core import registry
from ganzoo.core.plugin import Architecture
from ganzoo.testing import card, datasets, networks, training
from ganzoo.testing.datasets import DataSubject
from ganzoo.testing.kit import Check, Rule, checks_of, run_all
from ganzoo.testing.subject import Subject

ARCHITECTURE: tuple[Rule[Subject], ...] = (
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
    training.resume,
    training.no_sync,
    training.bf16,
    networks.channels_last,
    networks.compile,
)

DATASET: tuple[Rule[DataSubject], ...] = (
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


def architecture_checks(architecture: str | type[Architecture], **settings: Any) -> Iterator[Check]:
    """Every check of an architecture: a name as users type it, or its class.

    `settings` are those of its Config to be checked instead of the defaults. Raises UsageError for an unknown name,
    settings that do not fit and an expected failure without a reason, PluginError where the plugin cannot be used.
    """
    if isinstance(architecture, str):
        found = registry.get_architecture(architecture).card
    else:
        found = registry.validate(architecture, Architecture)
    subject = Subject(found, settings)
    subject.config()
    return checks_of(ARCHITECTURE, subject, found.expected_failures)


def check_architecture(architecture: str | type[Architecture], **settings: Any) -> None:
    """Run all of `architecture_checks`; one `CheckError` lists what failed and what to change."""
    run_all(architecture_checks(architecture, **settings), "the architecture")


def dataset_checks(dataset: str) -> Iterator[Check]:
    """Every check of the data set that users call `name` or `name:ARGUMENT`. Loads it, and so may download it.

    Raises UsageError and PluginError as `architecture_checks` does.
    """
    card, argument = registry.get_dataset(dataset)
    return checks_of(DATASET, DataSubject(card, argument), card.expected_failures)


def check_dataset(dataset: str) -> None:
    """Run all of `dataset_checks`; one `CheckError` lists what failed and what to change."""
    run_all(dataset_checks(dataset), f"the data set {dataset}")
