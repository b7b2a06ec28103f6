from __future__ import annotations

import dataclasses
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ganzoo import data
from ganzoo.core.errors import DataError
from ganzoo.data import ImageData
from ganzoo.evaluation import feature_extractor
from ganzoo.evaluation.feature_extractor import FeatureExtractor
from tests.ranks import ended, join, start


def load_or_train(cache: Path, output: Path) -> None:
    """Get the classifier of digits, with its messages in a file; for a process of its own."""
    feature_extractor.MAX_EPOCHS, feature_extractor.MIN_STEPS = 4, 1
    with output.open("w", buffering=1) as file:
        extractor = FeatureExtractor.load_or_train(
            data.open("digits"),
            data.open("digits", split="test"),
            cache=cache,
            progress=lambda text: print(text, file=file),
        )
        print("done", extractor.sha256, extractor.accuracy, file=file)


@pytest.fixture(scope="module")
def digits() -> tuple[ImageData, ImageData]:
    return data.open("digits"), data.open("digits", split="test")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("classifiers")


def test_it_is_trained_once_and_reports_its_accuracy(digits: tuple[ImageData, ImageData], home: Path) -> None:
    train, test = digits
    messages: list[str] = []
    first = FeatureExtractor.load_or_train(train, test, progress=messages.append, cache=home)
    assert messages[0] == "training the classifier of digits (once): 0%"
    predictions = first(test.images)[1].argmax(1).numpy()
    assert first.accuracy == pytest.approx(np.mean(predictions == test.labels), abs=1e-6)
    assert first.accuracy > 0.95
    assert first.tested_on == len(test)

    messages.clear()
    again = FeatureExtractor.load_or_train(train, test, progress=messages.append, cache=home)
    assert messages == []
    assert again.sha256 == first.sha256
    features, logits = again(test.images)
    assert features.shape == (355, 128)
    torch.testing.assert_close(logits, first(test.images)[1])


def test_other_data_get_another_classifier(
    digits: tuple[ImageData, ImageData], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = digits
    FeatureExtractor.load_or_train(train, test, cache=home)
    before = set(home.glob("*.safetensors"))
    monkeypatch.setattr(feature_extractor, "MAX_EPOCHS", 1)
    FeatureExtractor.load_or_train(dataclasses.replace(train, sha256="other"), test, cache=home)
    assert len(set(home.glob("*.safetensors")) - before) == 1


def test_without_a_test_split_it_is_tested_on_held_out_training_images(
    digits: tuple[ImageData, ImageData], home: Path
) -> None:
    extractor = FeatureExtractor.load_or_train(digits[0], None, cache=home)
    assert extractor.tested_on == 144
    assert 0.9 < extractor.accuracy <= 1


@pytest.mark.parametrize("damage", [b"", b"nonsense", None], ids=["empty", "nonsense", "a flipped bit"])
def test_a_damaged_file_is_replaced(
    digits: tuple[ImageData, ImageData], tmp_path: Path, damage: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_extractor, "MAX_EPOCHS", 1)
    first = FeatureExtractor.load_or_train(*digits, cache=tmp_path / "first")
    (file,) = shutil.copytree(tmp_path / "first", tmp_path / "copy").glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content if damage is None else damage)
    again = FeatureExtractor.load_or_train(*digits, cache=tmp_path / "copy")
    assert again.sha256 == first.sha256
    weights = again.network.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in first.network.state_dict().items())


def test_concurrent_processes_train_one_classifier(tmp_path: Path) -> None:
    files = [tmp_path / "one", tmp_path / "other"]
    processes = [start(load_or_train, tmp_path, file) for file in files]
    with ended(processes):
        assert [join(process) for process in processes] == [0, 0]
    outputs = [file.read_text().splitlines() for file in files]
    assert len({lines[-1] for lines in outputs}) == 1
    assert sorted(len(lines) > 1 for lines in outputs) == [False, True]  # only one of them trained
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


def test_a_killed_training_leaves_no_classifier(tmp_path: Path) -> None:
    output = tmp_path / "output"
    process = start(load_or_train, tmp_path, output)
    with ended([process]):
        while not (output.exists() and output.read_text()):
            assert process.is_alive()
            time.sleep(0.002)
    assert join(process) == -signal.SIGKILL
    assert list(tmp_path.glob("*.safetensors")) == []
    assert join(start(load_or_train, tmp_path, output)) == 0
    assert output.read_text().splitlines()[-1].startswith("done")


def test_a_cache_that_cannot_be_written_is_named(digits: tuple[ImageData, ImageData], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        FeatureExtractor.load_or_train(*digits, cache=tmp_path / "file" / "classifiers")


def test_large_images_are_downscaled_and_colour_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_extractor, "MIN_STEPS", 40)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 80)
    images = rng.integers(0, 80, (80, 3, 40, 40)).astype(np.uint8)
    images[np.arange(80), labels] += 100  # red or green
    spec = ImageData(images, labels, ("red", "green"), "colours", "train", "colours")
    extractor = FeatureExtractor.load_or_train(spec, None, cache=tmp_path)
    assert extractor.size == 32
    assert extractor.protocol["resize"].startswith("to 32")
    assert extractor.accuracy > 0.9


def test_training_does_not_change_the_global_random_state(
    digits: tuple[ImageData, ImageData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_extractor, "MAX_EPOCHS", 1)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    FeatureExtractor.load_or_train(*digits, cache=tmp_path)
    torch.testing.assert_close(torch.rand(3), expected)
