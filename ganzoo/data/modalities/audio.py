"""Audio clips of one length and sample rate."""

from __future__ import annotations

import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganzoo.core.errors import DataError, GanzooError
from ganzoo.core.files import atomic
from ganzoo.core.spec import Field
from ganzoo.data.modality import Array, Modality, expect

FULL_SCALE = 32768.0
WINDOW = 256
"""Samples of a Fourier window; a spectrogram has half as many rows."""
FRAMES = 128
"""Columns of a spectrogram, if the clip is long enough."""
FLOOR_DB = -80.0
GAP_SECONDS = 0.25


class Audio(Modality):
    """int16 [N, channels, samples]; the fact `sample_rate` is in Hz."""

    noun = "clips"
    suffix = ".wav"

    def example(self) -> Field:
        return Field(self.name, (1, 512), {"sample_rate": 8000})

    def field(self, values: Array, facts: Mapping[str, Any]) -> Field:
        fits = values.dtype == np.int16 and values.ndim == 3 and 0 not in values.shape
        expect(fits, "int16 audio [N, channels, samples]", values)
        rate = facts.get("sample_rate")
        if not isinstance(rate, int) or not 0 < rate < 1 << 20:
            raise DataError(f"audio needs its sample_rate in Hz, got {rate!r}")
        return Field(self.name, tuple(values.shape[1:]), dict(facts))

    def encode(self, values: Tensor, field: Field) -> Tensor:
        return values.float().mul_(1 / FULL_SCALE)

    def decode(self, outputs: Tensor, field: Field) -> Tensor:
        return outputs.float().mul(FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1).to("cpu", torch.int16)

    def images(self, values: Tensor, field: Field) -> Tensor:
        """Spectrograms uint8 [N, 1, 128, 128] of the mean over channels: low frequencies below, full scale white."""
        return spectrograms(values.float().mean(1) / FULL_SCALE)

    def write(self, values: Tensor, field: Field, path: Path, text: Mapping[str, object]) -> None:
        """A WAV file of 16 bits; several clips follow each other, a quarter of a second apart."""
        gap = torch.zeros(values.shape[1], int(GAP_SECONDS * rate_of(field)), dtype=torch.int16)
        clips = [part for clip in values for part in (clip, gap)][:-1]
        frames = torch.cat(clips, dim=1) if clips else gap[:, :0]
        try:
            with atomic(path) as temporary, wave.open(str(temporary), "wb") as file:
                file.setnchannels(values.shape[1])
                file.setsampwidth(2)
                file.setframerate(rate_of(field))
                file.writeframes(frames.T.contiguous().numpy().astype("<i2").tobytes())
        except OSError as failure:
            raise GanzooError(f"Cannot write {path}: {failure.strerror or failure}") from failure

    def made_up(self, field: Field, count: int, rng: np.random.Generator) -> Array:
        """Tones of different pitch and loudness."""
        channels, samples = field.shape
        pitch, loudness = rng.uniform(0.01, 0.4, (count, channels, 1)), rng.uniform(0.2, 0.9, (count, channels, 1))
        tones = loudness * np.sin(np.pi * pitch * np.arange(samples))
        clips: Array = (tones * (FULL_SCALE - 1)).round().astype(np.int16)
        return clips


def rate_of(field: Field) -> int:
    """Samples per second."""
    return int(field.facts["sample_rate"])


def spectrograms(clips: Tensor) -> Tensor:
    """Spectrograms uint8 [N, 1, 128, <= 128] of mono clips float [N, samples] in [-1, 1]."""
    clips = torch.nn.functional.pad(clips, (0, max(0, WINDOW - clips.shape[-1])))
    hop = max(1, clips.shape[-1] // FRAMES)
    window = torch.hann_window(max(WINDOW, 2 * hop))
    spectrum = torch.stft(clips, len(window), hop, window=window, pad_mode="constant", return_complex=True)
    power = (2 / window.sum() * spectrum[:, 1:, :FRAMES].abs()).square()
    power = torch.nn.functional.adaptive_avg_pool2d(power[:, None], (WINDOW // 2, power.shape[-1]))
    level = 10 * torch.log10(power + 1e-12)
    return (255 * (1 - level / FLOOR_DB)).round().clamp(0, 255).to(torch.uint8).flip(2)
