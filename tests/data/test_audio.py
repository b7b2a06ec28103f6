"""Recordings: the data set `audio:PATH` and the modality."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ganzoo_plugins.datasets.sounds import Audio
from scipy.io import wavfile

import ganzoo
from ganzoo.core.errors import DataError, UsageError
from ganzoo.core.spec import DataLocation, Field
from ganzoo.data import ArrayData, parallel
from ganzoo.data.modality import get_modality
from tests.conftest import Command

RATE = 8000


def tone(hertz: float, seconds: float, rate: int = RATE) -> np.ndarray:
    return (20_000 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.int16)


def record(path: Path, values: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, values)
    return path


def load(where: DataLocation, path: Path, split: str = "train", options: str = "") -> ArrayData:
    return Audio().load(where, split, None, f"{options}{path}")  # type: ignore[arg-type]


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    root = tmp_path / "speech"
    for split, count in (("train", 12), ("test", 4)):
        for number in range(count):
            name = ("high", "low")[number % 2]
            record(root / split / name / f"{number}.wav", tone(2000 if name == "high" else 300, 0.05 + 0.002 * number))
    return root


def test_workers_decode_what_one_process_does(
    where: DataLocation, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(speech / "train/high/other.wav", tone(440, 0.5, 4000), 4000)
    (speech / "train/low/broken.wav").write_bytes(b"no sound")
    alone = load(where, speech)
    monkeypatch.setattr(parallel, "FEW", 0)
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0, 1, 2})
    data = load(DataLocation(None, tmp_path / "other"), speech)
    assert len(data.notes) == 3
    assert (data.sha256, data.notes) == (alone.sha256, alone.notes)


def test_folders_are_classes_and_clips_have_one_length(where: DataLocation, speech: Path) -> None:
    train, test = load(where, speech), load(where, speech, "test")
    assert train.class_names == test.class_names == ("high", "low")
    assert train.spec.target == test.spec.target == Field("audio", (1, 1024), {"sample_rate": RATE})
    assert (len(train), len(test), train.notes) == (12, 4, ())
    assert np.array_equal(train.values[0, 0, :400], tone(2000, 0.05))
    assert not train.values[0, 0, 400:].any()
    assert train.sha256 == load(where, speech).sha256 != test.sha256


def test_length_rate_and_loudness_may_be_asked_for(where: DataLocation, speech: Path) -> None:
    data = load(where, speech, options="samples=512,rate=16000:")
    assert data.spec.target == Field("audio", (1, 512), {"sample_rate": 16000})
    assert "12 of 12 recordings resampled to 16,000 Hz" in data.notes
    assert any("12 of 12 recordings cut to their first 512 samples" in note for note in data.notes)
    spectrum = np.abs(np.fft.rfft(data.values[0, 0]))
    assert abs(spectrum.argmax() * 16000 / 512 - 2000) < 50  # the pitch is kept
    loud = load(where, speech, options="normalise=yes:")
    assert np.abs(loud.values).max(axis=(1, 2)).tolist() == [29491] * 12
    assert loud.sha256 != load(where, speech, options="normalise=no:").sha256 == load(where, speech).sha256
    for options in ("normalise=maybe:", "samples=3:", "samples=many:", "length=512:"):
        with pytest.raises(UsageError, match=options.split("=")[0]):
            load(where, speech, options=options)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_sample_formats_and_stereo(where: DataLocation, tmp_path: Path, dtype: type) -> None:
    wave = tone(440, 0.1) / 32768
    if dtype == np.uint8:
        values = (wave * 128 + 128).round().astype(np.uint8)
    else:
        values = (wave * (1 if dtype == np.float32 else -float(np.iinfo(dtype).min))).astype(dtype)
    record(tmp_path / "mine/a.wav", np.stack([values, values], axis=1))
    clip = load(where, tmp_path / "mine").values[0, 0, :800] / 32768
    assert np.abs(clip - wave).max() < (0.005 if dtype == np.uint8 else 1e-4)


def test_flac_through_soundfile_and_archives(where: DataLocation, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    (tmp_path / "mine").mkdir()
    soundfile.write(tmp_path / "mine/a.flac", tone(440, 0.1), RATE)
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.write(tmp_path / "mine/a.flac", "a.flac")
    for path in (tmp_path / "mine", tmp_path / "mine.zip"):
        assert np.array_equal(load(where, path).values[0, 0, :800], tone(440, 0.1))


def test_what_is_done_to_recordings_is_said(where: DataLocation, tmp_path: Path) -> None:
    for name, shape in (("a", (300,)), ("b", (300, 2))):
        wavfile.write(tmp_path / f"{name}.wav", 8000, np.zeros(shape, np.int16))
    notes = Audio().load(where, "train", None, str(tmp_path)).notes
    assert notes == ("1 of 2 recordings of several channels mixed to one", *notes[1:])


def test_recordings_louder_than_full_scale_are_clipped_with_a_note(where: DataLocation, tmp_path: Path) -> None:
    for number, peak in enumerate([0.5, 1.0, 3.0]):
        tone = peak * np.sin(np.arange(1000) / 5)
        (tmp_path / "loud").mkdir(exist_ok=True)
        wavfile.write(tmp_path / f"loud/{number}.wav", 8000, tone.astype(np.float32))
    assert load(where, tmp_path / "loud").notes == (
        "1 of 3 recordings are louder than full scale and are clipped; to keep them whole: audio:normalise=yes:PATH",
    )
    assert load(where, tmp_path / "loud", options="normalise=yes:").notes == ()


def test_unreadable_recordings_are_named(where: DataLocation, speech: Path) -> None:
    (speech / "train/low/bad.wav").write_bytes(b"RIFF....")
    (speech / "train/low/notes.txt").write_text("x")
    first, second = load(where, speech).notes
    assert first == "1 files ignored (1 .txt): low/notes.txt"
    assert second.startswith("1 of 13 files skipped: low/bad.wav (")
    with pytest.raises(DataError, match="contains no recordings"):
        load(where, speech.parent / "given")


def test_every_sample_value_comes_back() -> None:
    field = Field("audio", (1, 65536), {"sample_rate": RATE})
    values = torch.arange(-32768, 32768).to(torch.int16)[None, None]
    modality = get_modality("audio")
    encoded = modality.encode(values, field)
    assert (encoded.min(), encoded.abs().max()) == (-1, 1)
    assert torch.equal(modality.decode(encoded, field), values)
    assert modality.decode(torch.tensor([[[-3.0, 3.0]]]), field).tolist() == [[[-32768, 32767]]]


@pytest.mark.parametrize("samples", [1024, 16384, 65536])
def test_a_spectrogram_shows_the_pitch(samples: int) -> None:
    field = Field("audio", (1, samples), {"sample_rate": RATE})
    values = torch.from_numpy(tone(1000, samples / RATE)[:samples])[None, None]
    (image,) = get_modality("audio").images(values, field)
    assert image.shape == (1, 128, 128)
    rows = image[0, :, 64].float()
    assert abs(int(rows.argmax()) - 96) <= 1  # a quarter of the range 0..4000 Hz, from below
    assert rows.max() > 220
    assert rows[:64].max() < 100


def test_trains_samples_and_evaluates(speech: Path, tmp_path: Path, ganzoo_cli: Command) -> None:
    run = ganzoo.train("vanilla", dataset=f"audio:{speech}", steps=3, batch_size=4, out=tmp_path / "run")
    assert run.spec.shape == (1, 1024)
    assert next(run.samples.glob("*.png"))
    for target in ("clips.wav", "clips", "grid.png", "arrays.npz"):
        done = ganzoo_cli("sample", run.path, "--count", 3, "--seed", 0, "--out", tmp_path / target)
        assert (done.code, "3 clips written to" in done.out) == (0, True), done.err
    rate, together = wavfile.read(tmp_path / "clips.wav")
    one = [wavfile.read(path)[1] for path in sorted((tmp_path / "clips").glob("*.wav"))]
    assert (rate, len(one), len(together)) == (RATE, 3, 3 * 1024 + 2 * RATE // 4)
    with np.load(tmp_path / "arrays.npz") as arrays:
        assert np.array_equal(arrays["audio"][:, 0], np.stack(one))
    done = ganzoo_cli("evaluate", run.path, "--metrics", "ms_ssim", "--samples", 8)
    assert done.code == 0, done.err
