"""`ganzoo doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys

import click

from ganzoo.core import registry
from ganzoo.core.spec import DataLocation
from ganzoo.core.version import __version__


@click.command()
def doctor() -> None:
    """Describe this installation: versions, devices, plugins."""
    import time

    start = time.perf_counter()
    import torch

    torch_seconds = time.perf_counter() - start
    from ganzoo.cli.console import Console, table
    from ganzoo.ops.linear import min_work, mkl_is_fast

    console = Console()
    where = DataLocation.find()
    rows = [
        ("python", f"{platform.python_version()} ({platform.machine()}, {platform.system()})"),
        ("ganzoo", f"{__version__} (package {registry.OWN_DISTRIBUTION})"),
        *(("warning", warning) for warning in _warnings()),
        ("torch", torch.__version__),
        *((name, _version(name)) for name in ("numpy", "tensorboard")),
        ("torch import", f"{torch_seconds:.2f} s"),
        ("devices", ", ".join(["cpu", *(_gpu(i) for i in range(torch.cuda.device_count()))])),
        ("gpu", "available" if torch.cuda.is_available() else _why_no_gpu()),
        ("cpu instructions", torch.backends.cpu.get_cpu_capability()),
        ("threads", f"{torch.get_num_threads()} of {os.cpu_count()} processors"),
        ("native extension", _native()),
        ("cuda kernels", _cuda()),
        ("linear layers", "PyTorch's" if mkl_is_fast() else f"native from {min_work():,} multiplications on"),
        ("memory", _memory()),
        ("data cache", str(where.cache)),
        ("GANZOO_DATA", str(where.given) if where.given else "not set"),
        ("terminal", _terminal(console)),
    ]
    console.print(table(("this installation", ""), rows))
    entries = [("architecture", e) for e in registry.architectures()] + [("data set", e) for e in registry.datasets()]
    plugins = [
        (e.name, kind, f"{e.distribution} {e.version}", f"{e.import_seconds * 1000:.1f} ms", e.error or "ok")
        for kind, e in entries
    ]
    console.print()
    console.print(table(("plugin", "kind", "from", "import", "state"), plugins))


def _warnings() -> list[str]:
    """Another distribution called `ganzoo`, whose files have the same names as ours."""
    import ganzoo

    try:
        other = importlib.metadata.distribution(registry.FORMER_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return []
    replaced = getattr(ganzoo, "__version__", None) != __version__
    return [
        f"the package {other.name} {other.version} is installed as well, "
        f"{f'and has replaced our {ganzoo.__file__}' if replaced else 'which may replace our files'}: "
        f"pip uninstall {other.name}, then pip install --force-reinstall --no-deps {registry.OWN_DISTRIBUTION}"
    ]


def _native() -> str:
    from ganzoo.core.errors import GanzooError
    from ganzoo.ops import backend, cpu_library

    state = cpu_library.LIBRARY.load()
    if state.library is None:
        return f"none, PyTorch computes every op: {state.status}"
    try:
        chosen = backend.resolve("auto")
    except GanzooError as refusal:
        chosen = str(refusal)
    bfloat16 = " with bfloat16" if cpu_library.has_bfloat16() else ""
    return f"{cpu_library.instruction_set()}{bfloat16}, {state.status} ({state.path}), backend {chosen}"


def _cuda() -> str:
    from ganzoo.ops import cuda_library

    return cuda_library.describe()


def _memory() -> str:
    from ganzoo.core.memory import available_memory, in_gibibytes

    available = available_memory()
    if available is None:
        return "unknown; checkpoints are written beside the training"
    return f"{in_gibibytes(available)} available; checkpoints are written beside the training while a copy fits"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _gpu(index: int) -> str:
    import torch

    properties = torch.cuda.get_device_properties(index)
    return f"cuda:{index} {properties.name} ({properties.total_memory / 2**30:.0f} GiB)"


def _why_no_gpu() -> str:
    import torch

    if torch.version.cuda is None:
        return "none: this torch is built for the CPU only"
    return f"none: torch is built for CUDA {torch.version.cuda}, but finds no device or driver"


def _terminal(console: object) -> str:
    from rich.console import Console

    assert isinstance(console, Console)
    kind = "a terminal" if console.is_terminal else "not a terminal"
    colours = console.color_system or "no colours"
    return f"{kind}, {console.width} columns, {colours}, {sys.stdout.encoding}"
