from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ganzoo.core.errors import UsageError
from ganzoo.data import ImageData
from ganzoo.training.batches import Batches

CPU = torch.device("cpu")


def numbered(count: int, labelled: bool = True) -> ImageData:
    """Image i has the value i everywhere and the label i % 3."""
    images = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(4, axis=2).repeat(4, axis=3)
    labels = np.arange(count, dtype=np.int64) % 3 if labelled else None
    return ImageData(images, labels, ("a", "b", "c") if labelled else (), "numbered", "train", "0")


def indices(images: torch.Tensor) -> list[int]:
    return ((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_an_epoch_shows_every_image_once_and_drops_the_incomplete_batch() -> None:
    batches = Batches(numbered(10), 3, seed=0, device=CPU)
    seen = [i for number in range(3) for i in indices(batches(number)[0])]
    assert len(seen) == len(set(seen)) == 9


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    one, other = (Batches(numbered(50), 5, seed=4, device=CPU) for _ in range(2))
    backwards = {number: indices(other(number)[0]) for number in reversed(range(20))}
    assert backwards == {number: indices(one(number)[0]) for number in range(20)}
    assert backwards[0] != backwards[10]
    assert indices(Batches(numbered(50), 5, seed=5, device=CPU)(0)[0]) != backwards[0]


def test_labels_belong_to_their_images_and_values_span_minus_one_to_one() -> None:
    batches = Batches(numbered(256), 256, seed=0, device=CPU)
    images, labels = batches(0)
    assert labels is not None
    assert labels.tolist() == [i % 3 for i in indices(images)]
    assert (images.min().item(), images.max().item()) == (-1.0, pytest.approx(1.0))
    assert images.dtype == torch.float32


def test_labels_of_unlabelled_data_are_none() -> None:
    assert Batches(numbered(4, labelled=False), 2, seed=0, device=CPU)(0)[1] is None


def test_a_memory_map_gives_the_same_batches(tmp_path: Path) -> None:
    data = numbered(20)
    data.images.tofile(tmp_path / "images")
    mapped = np.memmap(tmp_path / "images", dtype=np.uint8, mode="r", shape=data.images.shape)
    from_map = Batches(ImageData(mapped, data.labels, data.class_names, "mapped", "train", "0"), 6, 1, CPU)
    in_memory = Batches(data, 6, 1, CPU)
    for number in range(7):
        assert torch.equal(from_map(number)[0], in_memory(number)[0])


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(UsageError, match="batch_size=11 is larger than the data set: numbered has 10 images"):
        Batches(numbered(10), 11, 0, CPU)


def test_inputs_belong_to_their_images_in_memory_and_from_a_memory_map(tmp_path: Path) -> None:
    plain = numbered(20)
    both = np.concatenate([plain.images + 100, plain.images], axis=1)
    both.tofile(tmp_path / "pairs")
    mapped = np.memmap(tmp_path / "pairs", dtype=np.uint8, mode="r", shape=both.shape)
    for source in (both, mapped):
        data = ImageData(source[:, 1:], None, (), "pairs", "train", "0", inputs=source[:, :1])
        batches = Batches(data, 6, 1, CPU)
        for number in range(7):
            images, inputs = batches(number)
            assert inputs is not None
            assert torch.equal(images, Batches(plain, 6, 1, CPU)(number)[0])
            assert indices(inputs) == [i + 100 for i in indices(images)]
