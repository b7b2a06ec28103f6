from __future__ import annotations

import dataclasses
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ganzoo import data
from ganzoo.core.errors import DataError
from ganzoo.data import ImageData
from ganzoo.evaluation import feature_extractor as judges
from ganzoo.evaluation.feature_extractor import Judge

TRAIN = """
import sys
from pathlib import Path
from ganzoo import data
from ganzoo.evaluation import feature_extractor as judge
judge.MOST_EPOCHS, judge.LEAST_STEPS = 4, 1
found = judge.Judge.of(data.open("digits"), data.open("digits", split="test"), cache=Path(sys.argv[1]),
                       progress=lambda text: print(text, flush=True))
print("done", found.sha256, found.accuracy)
"""


@pytest.fixture(scope="module")
def digits() -> tuple[ImageData, ImageData]:
    return data.open("digits"), data.open("digits", split="test")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("judges")


def test_it_is_trained_once_and_says_how_good_it_is(digits: tuple[ImageData, ImageData], home: Path) -> None:
    train, test = digits
    told: list[str] = []
    first = Judge.of(train, test, progress=told.append, cache=home)
    assert told[0] == "training the judge of digits, once: 0%"
    answers = first(test.images)[1].argmax(1).numpy()
    assert first.accuracy == pytest.approx(np.mean(answers == test.labels), abs=1e-6)
    assert first.accuracy > 0.95
    assert first.tested_on == len(test)

    told.clear()
    again = Judge.of(train, test, progress=told.append, cache=home)
    assert told == []
    assert again.sha256 == first.sha256
    features, logits = again(test.images)
    assert features.shape == (355, 128)
    torch.testing.assert_close(logits, first(test.images)[1])


def test_other_data_get_another_judge(digits: tuple[ImageData, ImageData], home: Path) -> None:
    train, test = digits
    Judge.of(train, test, cache=home)
    before = set(home.glob("*.safetensors"))
    Judge.of(dataclasses.replace(train, sha256="other"), test, cache=home)
    assert len(set(home.glob("*.safetensors")) - before) == 1


def test_without_a_test_split_it_is_tested_on_images_kept_back(digits: tuple[ImageData, ImageData], home: Path) -> None:
    judge = Judge.of(digits[0], None, cache=home)
    assert judge.tested_on == 144
    assert 0.9 < judge.accuracy <= 1


@pytest.mark.parametrize("damage", [b"", b"nonsense", None], ids=["empty", "nonsense", "a bit turned"])
def test_a_damaged_file_is_made_again(
    digits: tuple[ImageData, ImageData], home: Path, tmp_path: Path, damage: bytes | None
) -> None:
    first = Judge.of(*digits, cache=home)
    copy = shutil.copytree(home, tmp_path / "judges")
    for file in copy.glob("*.safetensors"):
        content = bytearray(file.read_bytes())
        content[-100] ^= 1
        file.write_bytes(content if damage is None else damage)
    again = Judge.of(*digits, cache=copy)
    assert again.sha256 == first.sha256


def test_several_processes_agree_on_one(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TRAIN, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate()[0].splitlines() for process in processes]
    assert len({lines[-1] for lines in outputs}) == 1
    assert sorted(len(lines) > 1 for lines in outputs) == [False, True]  # one of them trained
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


def test_a_killed_training_leaves_nothing_that_is_taken_for_a_judge(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", TRAIN, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(tmp_path.glob("*.safetensors")) == []
    done = subprocess.run([sys.executable, "-c", TRAIN, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].startswith("done")


def test_a_cache_that_cannot_be_written_is_named(digits: tuple[ImageData, ImageData], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        Judge.of(*digits, cache=tmp_path / "file" / "judges")


def test_large_images_are_made_smaller_and_colour_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "LEAST_STEPS", 40)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 80)
    images = rng.integers(0, 80, (80, 3, 40, 40)).astype(np.uint8)
    images[np.arange(80), labels] += 100  # red or green
    spec = ImageData(images, labels, ("red", "green"), "colours", "train", "colours")
    judge = Judge.of(spec, None, cache=tmp_path)
    assert judge.size == 32
    assert judge.protocol["resize"].startswith("to 32")
    assert judge.accuracy > 0.9


def test_training_it_leaves_the_callers_random_numbers_alone(
    digits: tuple[ImageData, ImageData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judges, "MOST_EPOCHS", 1)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    Judge.of(*digits, cache=tmp_path)
    torch.testing.assert_close(torch.rand(3), expected)
