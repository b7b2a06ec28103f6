"""Advice on batches that are too large for memory or too small for batch norm."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ganzoo.core.errors import TrainingError, out_of_memory
from ganzoo.data.modality import get_modality
from ganzoo.gan import GAN
from ganzoo.nn import uses_batch_statistics
from ganzoo.training.config import TrainConfig


@contextlib.contextmanager
def explain_batch_failures(config: TrainConfig, settings: Any) -> Iterator[None]:
    """Turn PyTorch's errors about the size of a batch into a TrainingError that says what to change."""
    size, parts = settings.batch_size, settings.accumulate
    try:
        yield
    except RuntimeError as failure:
        if not out_of_memory(failure):
            raise
        raise TrainingError(
            f"{config.device} is out of memory with batch_size={size} in {config.precision}. Try "
            f"--accumulate {2 * parts}, --batch-size {max(1, size // 2)}, --precision bf16, or --no-cuda-graph."
        ) from failure
    except ValueError as failure:
        if "more than 1 value per channel" not in str(failure):
            raise
        raise TrainingError(
            f"batch_size={size} with accumulate={parts} gives batch norm one value per channel, which has no variance. "
            f"Choose --batch-size {2 * parts} or more."
        ) from failure


def note_on_accumulation(gan: GAN) -> list[str]:
    """A note if batch norm makes gradient accumulation differ from training with the whole batch."""
    size, parts = gan.config.batch_size, gan.config.accumulate
    if parts == 1 or not uses_batch_statistics(gan):
        return []
    return [
        f"accumulate={parts} with batch norm: statistics are computed over {size // parts} "
        f"{get_modality(gan.spec.kind).noun} at a time, so results differ slightly from training with the full batch "
        f"of {size}."
    ]
