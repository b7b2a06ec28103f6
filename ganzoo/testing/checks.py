"""The rules for each kind of plugin, and the checks of one plugin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ganzoo.augmentations import get_augmentation
from ganzoo.core import models as installed_models
from ganzoo.core import registry
from ganzoo.core.errors import UsageError
from ganzoo.core.plugin import Architecture, expected_failures
from ganzoo.data.modality import get_modality
from ganzoo.evaluation.metrics import get_metrics
from ganzoo.losses import get_loss, get_penalty
from ganzoo.testing import (
    augmentations,
    card,
    datasets,
    forward,
    loggers,
    losses,
    metrics,
    modalities,
    models,
    networks,
    penalties,
    ranks,
    training,
)
from ganzoo.testing.augmentations import AugmentationFixture
from ganzoo.testing.datasets import DatasetFixture
from ganzoo.testing.fixtures import ArchitectureFixture
from ganzoo.testing.kit import Check, Rule, checks_of, run_all
from ganzoo.testing.loggers import LoggerFixture
from ganzoo.testing.losses import LossFixture
from ganzoo.testing.metrics import MetricFixture
from ganzoo.testing.modalities import ModalityFixture
from ganzoo.testing.models import ModelFixture
from ganzoo.testing.penalties import PenaltyFixture
from ganzoo.training.callbacks import get_logger

ARCHITECTURE: tuple[Rule[ArchitectureFixture], ...] = (
    card.metadata,
    card.settings,
    networks.shapes,
    forward.copies,
    forward.side_effects,
    forward.device,
    networks.output_range,
    networks.logits,
    networks.condition,
    networks.impossible_size,
    networks.seed,
    networks.safetensors,
    training.recipes,
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
PENALTY: tuple[Rule[PenaltyFixture], ...] = (penalties.scalar, penalties.gradients, penalties.seed)
AUGMENTATION: tuple[Rule[AugmentationFixture], ...] = (
    augmentations.shapes,
    augmentations.differentiable,
    augmentations.seed,
    augmentations.no_sync,
    augmentations.state,
)
METRIC: tuple[Rule[MetricFixture], ...] = (metrics.metadata, metrics.applies, metrics.values, metrics.repeatable)
LOGGER: tuple[Rule[LoggerFixture], ...] = (loggers.training, loggers.stdout)
MODALITY: tuple[Rule[ModalityFixture], ...] = (
    modalities.made_up,
    modalities.encode,
    modalities.decode,
    modalities.picture,
    modalities.write,
)
MODEL: tuple[Rule[ModelFixture], ...] = (models.weights, models.samples, models.card)


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


def penalty_checks(penalty: str) -> Iterator[Check]:
    """Every check of the penalty called `penalty`. Raises UsageError and PluginError as `architecture_checks` does."""
    function = get_penalty(penalty)
    if function is None:
        raise UsageError(f"penalty={penalty} is no function to check.")
    return checks_of(PENALTY, PenaltyFixture(function), {})


def augmentation_checks(augmentation: str) -> Iterator[Check]:
    """Every check of an augmentation. Raises UsageError and PluginError as `architecture_checks` does."""
    if get_augmentation(augmentation) is None:
        raise UsageError(f"augmentation={augmentation} is no function to check.")
    return checks_of(AUGMENTATION, AugmentationFixture(augmentation), {})


def metric_checks(metric: str) -> Iterator[Check]:
    """Every check of the metric called `metric`. Raises UsageError and PluginError as `architecture_checks` does."""
    return checks_of(METRIC, MetricFixture(get_metrics([metric])[0]), {})


def logger_checks(logger: str) -> Iterator[Check]:
    """Every check of the logger called `logger`. Raises UsageError and PluginError as `architecture_checks` does."""
    return checks_of(LOGGER, LoggerFixture(get_logger(logger)), {})


def modality_checks(modality: str) -> Iterator[Check]:
    """Every check of a modality. Raises UsageError and PluginError as `architecture_checks` does."""
    return checks_of(MODALITY, ModalityFixture(get_modality(modality)), {})


def model_checks(model: str) -> Iterator[Check]:
    """Every check of an installed model. Raises UsageError for an unknown name, PluginError for a broken model."""
    folder = installed_models.find(model)
    if folder is None:
        raise UsageError(f"No model is called {model!r}.{installed_models.hint(model).partition('.')[2]}")
    return checks_of(MODEL, ModelFixture(model, folder), {})
