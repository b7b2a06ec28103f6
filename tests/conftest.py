"""Fixtures: the command line in this process, and temporary plugin distributions on disk."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from ganzoo.cli import main
from ganzoo.core import registry
from tests.workbench import Workbench

EXAMPLES = Path(__file__).parents[1] / "examples"

hypothesis.settings.register_profile("ganzoo", deadline=None)
hypothesis.settings.load_profile("ganzoo")


def pytest_collection_finish() -> None:
    """Spare the garbage collector what is imported and collected: every full collection would look at all of it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 10)


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Command = Callable[..., Result]

GOOD_ARCHITECTURE = """
    from dataclasses import dataclass
    from ganzoo.core import plugin
    from ganzoo.core.config import setting

    @dataclass(frozen=True, kw_only=True)
    class Config(plugin.Config):
        depth: int = setting(3, "how deep it goes", ge=1)

    class Good(plugin.Architecture):
        api_version = 1
        summary = "a third-party architecture"
        paper = "Nobody 2026, A Paper"
        Config = Config

        def build(self, config, spec):
            from torch import nn
            from ganzoo.gan import GAN

            pixels = spec.channels * spec.size**2
            return GAN(nn.Linear(config.latent_dim, pixels), nn.Linear(pixels, 1), config, spec)
"""

GOOD_DATASET = """
    from ganzoo.core import plugin

    class Good(plugin.Dataset):
        api_version = 1
        summary = "third-party images"
        source = "Nobody 2026"

        def load(self, where, split, image_size, argument):
            import numpy as np
            from ganzoo.data.images import ImageData
            return ImageData(np.zeros((4, 1, 8, 8), np.uint8), None, (), "good", split, "0" * 64)

    class WithArgument(Good):
        argument = "PATH"
"""


class Site:
    """A folder of installed distributions, to be put on a Python path."""

    def __init__(self, path: Path):
        self.path = path
        self.modules: list[str] = []
        path.mkdir(parents=True, exist_ok=True)

    def add(
        self,
        distribution: str,
        code: str,
        architectures: Mapping[str, str] | None = None,
        datasets: Mapping[str, str] | None = None,
        version: str = "1.0",
        **groups: Mapping[str, str],
    ) -> None:
        """Install `code` as a module named after the distribution; entry points map a name to one of its objects.

        `groups` are other groups of entry points: `losses={"mine": "MINE"}`.
        """
        module = distribution.replace("-", "_")
        self.modules.append(module)
        (self.path / f"{module}.py").write_text(textwrap.dedent(code))
        info = self.path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        points = ""
        for group, names in {"architectures": architectures, "datasets": datasets, **groups}.items():
            points += f"[ganzoo.{group}]\n" + "".join(
                f"{name} = {module}:{target}\n" for name, target in (names or {}).items()
            )
        (info / "entry_points.txt").write_text(points)

    def run(self, *args: str, **environment: str) -> Result:
        """Run `python -m ganzoo ARGS` in a new process that finds these distributions."""
        done = subprocess.run(
            [sys.executable, "-m", "ganzoo", *args],
            capture_output=True,
            text=True,
            cwd=self.path,
            env={**os.environ, "PYTHONPATH": str(self.path), "COLUMNS": "250", **environment},
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def fork(self, *args: str) -> Result:
        """Run `ganzoo ARGS` in a new process that finds these distributions and need not import torch first."""
        from tests import ranks

        return Result(*ranks.ganzoo(args, self.path, self.path, self.path, columns=250))


@pytest.fixture(scope="session")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("workbench"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Site], None]]:
    """Make the distributions of a site visible to this process until the test ends."""
    installed: list[Site] = []

    def put_on_path(site: Site) -> None:
        monkeypatch.syspath_prepend(str(site.path))
        registry.refresh()
        installed.append(site)

    yield put_on_path
    for site in installed:
        for module in site.modules:
            if str(site.path) in str(getattr(sys.modules.get(module), "__file__", "")):  # not our own `ganzoo`
                del sys.modules[module]
    monkeypatch.undo()
    importlib.invalidate_caches()
    registry.refresh()


@pytest.fixture
def ganzoo_cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command `ganzoo` in this process, errors and exit codes included, on a wide screen."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def run(*args: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["ganzoo", *map(str, args)])
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)}
        capsys.readouterr()
        try:
            with pytest.raises(SystemExit) as exit:
                main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        captured = capsys.readouterr()
        assert isinstance(exit.value.code, int)
        return Result(exit.value.code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with the example of this name, installed by pip, once for all tests."""
    done: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in done:
            source, target = tmp_path_factory.mktemp("source") / name, tmp_path_factory.mktemp(name)
            subprocess.run(["cp", "-r", EXAMPLES / name, source], check=True)  # building leaves files behind
            words = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
            subprocess.run([sys.executable, *words, "--target", target, source], check=True)
            done[name] = target
        return done[name]

    return folder


@pytest.fixture
def installed(packages: Callable[[str], Path], install: Callable[[Site], None]) -> Callable[[str], Site]:
    """Install the example of this name until the test ends."""

    def put(name: str) -> Site:
        site, package = Site(packages(name)), name.replace("-", "_")
        site.modules += [package, *(f"{package}.{file.stem}" for file in (site.path / package).glob("*.py"))]
        install(site)
        return site

    return put


@pytest.fixture
def pix2pix(installed: Callable[[str], Site]) -> Site:
    return installed("ganzoo-pix2pix")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The endpoint of an S3 server with the bucket `bucket`."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in (("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    import boto3

    boto3.client("s3").create_bucket(Bucket="bucket")
    return "s3://bucket"
