"""A trained generator as a file that runs without ganzoo: ONNX, PyTorch's own format, or a web page."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ganzoo.core.errors import UsageError, did_you_mean
from ganzoo.core.files import atomic
from ganzoo.core.paths import user_path
from ganzoo.exporting.generator import Generator, Input, Output
from ganzoo.exporting.metadata import metadata
from ganzoo.training.loading import load_checkpoint, newest_checkpoint
from ganzoo.training.run import Run

Format = Literal["onnx", "pt2", "html"]


@dataclass(frozen=True)
class Exported:
    """A file that `export` wrote. `difference` is the largest one between its outputs and the run's, of 64 samples."""

    path: Path
    inputs: tuple[Input, ...]
    output: Output
    difference: float


def export(
    run: Run | str | os.PathLike[str],
    to: Format = "onnx",
    out: str | os.PathLike[str] | None = None,
    *,
    uint8: bool = False,
    best: bool = False,
    runtime: str | os.PathLike[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Exported:
    """Write the moving average's generator of `run` to a file that runs without ganzoo.

    Inputs are z [N, latent_dim], float32; then, depending on the architecture, `labels` [N], int64, `inputs` [N, C',
    size, size] in [-1, 1] or `codes` [N, ...]; then one number for each sampling setting that is a float. The output is
    images [N, C, size, size] in [-1, 1], or points [N, C] in the units of the data. N is any number.

    Args:
        run: a run, its directory, or the name of an installed model.
        to: "onnx"; "pt2", which `torch.export.load` reads; or "html", a page that runs the generator in a browser.
        out: the file; default the run's name with the format as its suffix, in the working directory.
        uint8: the output is images of 0 to 255 instead. Not for points.
        best: export the best checkpoint by `evaluate_every` instead of the newest.
        runtime: for "html": a folder with the npm package onnxruntime-web; by default npm downloads it, once.
        progress: called with a short description of each step.

    The file is written only if, in its own runtime, it agrees with the run to 1e-5 on 64 samples; else GanzooError says
    by how much it differs. Raises UsageError for a contradictory request, GanzooError if a package is missing or the
    generator cannot be exported.
    """
    progress = progress or (lambda _: None)
    run = run if isinstance(run, Run) else Run.open(run)
    if to not in get_args(Format):
        raise UsageError(f"Cannot export to {to!r}. {did_you_mean(str(to), get_args(Format))}")
    path = user_path(f"{run.model or run.path.resolve().name}.{to}" if out is None else out, "a file")
    if path.suffix.lower() != f".{to}":
        raise UsageError(f"{path}: exporting to {to} writes a file whose name ends in .{to}.")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UsageError(f"{path} is a directory." if path.is_dir() else f"The directory {path.parent} does not exist.")
    if uint8 and (run.spec.target.facts.get("bits", 8) != 8 or run.spec.kind != "images" or to == "html"):
        raise UsageError(
            f"uint8 is for 8-bit images in {' or '.join(name for name in get_args(Format) if name != 'html')}."
        )
    if runtime is not None and to != "html":
        raise UsageError(f"--runtime is for html, and this exports to {to}.")
    checkpoint = newest_checkpoint(run, best)
    gan = load_checkpoint(run, checkpoint, "cpu")
    generator = Generator(gan, uint8)
    facts = metadata(run, checkpoint, generator)
    progress(f"exporting to {to}")
    content, difference = _convert(to, path.stem, runtime)(generator, facts)
    with atomic(path) as temporary:
        temporary.write_bytes(content)
    return Exported(path, generator.inputs, generator.output, difference)


def _convert(to: Format, name: str, runtime: Any) -> Callable[[Generator, dict[str, Any]], tuple[bytes, float]]:
    """The function that makes a file's content, and measures how far its outputs are from the run's."""
    if to == "pt2":
        from ganzoo.exporting import pt2

        return pt2.convert
    if to == "html":
        from ganzoo.exporting import html

        return functools.partial(html.convert, name=name, folder=runtime)
    from ganzoo.exporting import onnx

    return onnx.convert
