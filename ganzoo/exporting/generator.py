"""The part of a GAN that is exported: from noise and conditions to samples."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.core import config as configs
from ganzoo.core.errors import GanzooError
from ganzoo.core.spec import LABEL
from ganzoo.gan import GAN
from ganzoo.gan.sampling import sampling_with

TOLERANCE = 1e-5
"""The largest difference between outputs in [-1, 1] of the exported file and of the GAN."""
SAMPLES = 64


@dataclass(frozen=True)
class Input:
    """An input of an exported file. Its `shape` begins with "N", the number of samples, unless it is one number."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    meaning: str


@dataclass(frozen=True)
class Output:
    """The output of an exported file."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    meaning: str


class Generator(nn.Module):
    """`forward(z, *condition, *settings)` returns the samples of `gan.generate`: what is exported.

    Images are floats in [-1, 1], or with `uint8` pixels of 0 to 255; points are in the units of the data. `settings`
    are the card's sampling settings that are floats, such as a truncation; the others keep their defaults.
    """

    def __init__(self, gan: GAN, uint8: bool = False):
        super().__init__()
        self.gan = copy.copy(gan)  # the discriminator stays behind
        self.gan._modules = {name: module for name, module in gan._modules.items() if name != "discriminator"}
        self.spec, self.uint8 = gan.spec, uint8
        self.original = [gan]  # in a list, so that it is no part of this module
        self.defaults = configs.make(gan.sampling_type, {})
        self.settings = {s.name: float(s.default) for s in configs.settings(gan.sampling_type) if s.type is float}
        self.inputs = self._inputs()
        points = self.spec.kind == "points"
        meaning = "in the units of the data" if points else "0 to 255" if uint8 else "-1 to 1"
        self.output = Output(self.spec.kind, "uint8" if uint8 else "float32", ("N", *self.spec.shape), meaning)

    def forward(self, z: Tensor, *rest: Tensor) -> Tensor:
        conditions = rest[: len(rest) - len(self.settings)]
        settings: dict[str, Any] = dict(zip(self.settings, rest[len(conditions) :]))
        try:
            self.gan.sampling = dataclasses.replace(self.defaults, **settings)
            samples = self.gan.generate(z, *self._condition(conditions)).float()
        finally:
            self.gan.sampling = None
        if self.spec.kind != "images":
            return samples * self.spec.scale
        return ((samples + 1) * 127.5).round().clamp(0, 255).to(torch.uint8) if self.uint8 else samples

    def _inputs(self) -> tuple[Input, ...]:
        inputs = []
        for name, value in self.example(2).items():
            shape = ("N", *value.shape[1:]) if value.dim() else ()
            inputs.append(Input(name, str(value.dtype).removeprefix("torch."), shape, self._meaning(name)))
        return tuple(inputs)

    def _meaning(self, name: str) -> str:
        meanings = {
            "z": "noise: independent normal numbers, unless the architecture draws its own",
            "labels": f"classes, 0 to {self.original[0].classes - 1}",
            "inputs": "input images, -1 to 1",
            "codes": "codes, as the architecture draws them",
        }
        if name in self.settings:
            return f"setting; the default is {self.settings[name]:g}"
        return meanings.get(name) or f"the condition {name}, -1 to 1"

    def example(self, n: int, seed: int = 0) -> dict[str, Tensor]:
        """The inputs of n samples, by name."""
        gan = self.original[0]
        rng = torch.Generator(gan.device).manual_seed(seed)
        given: dict[str, Any] = {
            name: gan.class_labels(n) if name == LABEL else torch.rand(n, *field.shape, generator=rng) * 2 - 1
            for name, field in self.spec.given.items()
        }
        alone = next(iter(given.values())) if given else gan.class_labels(n)
        with sampling_with(gan, {}):
            inputs = {"z": gan.latent(n, rng)}
            condition: Any = gan.condition(given if len(given) > 1 else alone, n, rng)
        if isinstance(condition, dict):
            inputs |= condition
        elif condition is not None:
            labels = condition.dim() == 1 and not condition.is_floating_point()
            inputs["inputs" if gan.paired else "labels" if labels else "codes"] = condition
        return inputs | {name: torch.tensor(default) for name, default in self.settings.items()}

    def _condition(self, tensors: Sequence[Tensor]) -> tuple[Any, ...]:
        """The condition as `generate` takes it: one tensor, or several by name."""
        return (dict(zip(self.spec.given, tensors)),) if len(tensors) > 1 else tuple(tensors)

    def dynamic_shapes(self, batch: object) -> tuple[dict[int, object], ...]:
        """The dynamic dimensions of each input, called `batch`."""
        return tuple({0: batch} if i.shape else {} for i in self.inputs)

    def program(self) -> torch.export.ExportedProgram:
        """The generator as an exported program, for any number of samples. GanzooError if it cannot be exported."""
        z, *rest = self.dynamic_shapes(torch.export.Dim("batch", min=1))
        arguments = tuple(self.example(3).values())
        with failures(), torch.no_grad(), quiet():
            return torch.export.export(self, arguments, dynamic_shapes=(z, tuple(rest)) if rest else (z,))

    def difference(self, call: Callable[[Mapping[str, Tensor]], Tensor]) -> float:
        """The largest difference between the outputs of `call`, which runs the exported file, and the GAN's.

        In units of [-1, 1]: for uint8, how far the GAN's output is from the values that round to the pixel. GanzooError
        if it is more than TOLERANCE.
        """
        inputs = self.example(SAMPLES, seed=1)
        gan, (z, *rest) = self.original[0], inputs.values()
        with torch.no_grad(), sampling_with(gan, {}):
            expected = gan.generate(z, *self._condition(rest[: len(rest) - len(self.settings)])).float()
            found = call(inputs)
            first = call({name: value[:1] if value.dim() else value for name, value in inputs.items()})
        difference = max(self._distance(found, expected), self._distance(first, expected[:1]))
        if not difference <= TOLERANCE:  # NaN is not
            raise GanzooError(
                f"The exported file differs from the run by {difference:.3g} on {SAMPLES} samples, "
                f"which is more than {TOLERANCE:g}. Nothing was written."
            )
        return difference

    def _distance(self, found: Tensor, expected: Tensor) -> float:
        if found.shape != expected.shape:
            raise GanzooError(f"The exported file returns {list(found.shape)}, expected {list(expected.shape)}.")
        if self.uint8:
            pixels = expected.clamp(-1, 1) * 127.5 + 127.5
            return float(((pixels - found.float()).abs() - 0.5).clamp(min=0).max() / 127.5)
        return float((found / self.spec.scale - expected).abs().max())


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Turn what torch's exporters raise, of many types, into a GanzooError."""
    try:
        yield
    except GanzooError:
        raise
    except Exception as failure:
        lines = [line for line in str(failure).splitlines() if line.strip()] or [""]
        raise GanzooError(f"This generator cannot be exported: {type(failure).__name__}: {lines[0]}") from failure


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the exporters' warnings, which concern their own code."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
