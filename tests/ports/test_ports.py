"""Published GANs with a step, data or players of their own, built in or one file each: they train, resume, agree on
ranks, pass the checks."""

from __future__ import annotations

import ast
import math
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import ganzoo
from ganzoo import data
from ganzoo.core import registry
from ganzoo.data.normalization import encode
from ganzoo.evaluation.metrics import swd
from ganzoo.gan import GAN
from ganzoo.testing import Check, architecture_checks, run
from ganzoo.testing.checks import ARCHITECTURE
from tests.gan.games import Killer
from tests.ranks import ended, join, start, together
from tests.runs import assert_same, last_state, timeless

ROOT = Path(__file__).parents[2]
SLOW_CHECKS = ("compile", "objectives", "accumulate")
"""The checks that take a second or more each; the slow tests run them."""


@dataclass(frozen=True)
class Port:
    """An architecture, built in or a file of its own, and how to train it in a second."""

    target: str
    dataset: str = "digits"
    settings: dict[str, Any] = field(default_factory=dict)
    one_process: dict[str, Any] | None = field(default_factory=dict)
    """The settings with which two ranks train as one process does; None if layers draw random numbers."""
    metric: str | None = "swd"

    @property
    def id(self) -> str:
        return self.target.rpartition(":")[2]

    @property
    def name(self) -> str:
        return f"{ROOT / self.target}" if "/" in self.target else self.target

    @property
    def card(self) -> Any:
        return registry.find_architecture(self.name).card


WIDTHS = {"widths": (16,), "latent_dim": 8}
PORTS = [
    Port("bigan", settings=WIDTHS),
    Port("examples/files/consensus.py:Consensus", settings={**WIDTHS, "gamma": 0.1}),
    Port("stylegan2", settings={"channel_base": 64, "channel_max": 8, "latent_dim": 8}, one_process=None),
    Port("examples/files/ada.py:ADA", settings={**WIDTHS, "speed": 1000}),
    Port("sgan", settings={"width": 8}),
    Port("cyclegan", "unpaired:{}/large,{}/dark", {"width": 8, "blocks": 1, "pool": 24}, {"cycle_weight": 0}),
    Port("srgan", "pairs:{}/small,{}/large", {"width": 8, "blocks": 1}, metric="psnr"),
    Port("wavegan", "audio:{}/sounds", {"width": 4}, one_process={"shuffle": 0}, metric=None),
    Port("examples/files/tgan.py:TGAN", "video:frames=4:{}/films", {"width": 4, "latent_dim": 8}),
    Port("tests/ports/ctgan.py:CTGAN", "table:{}/people.csv", one_process=None, metric=None),
    Port("vanilla", settings={"generator_widths": (16,), "discriminator_widths": (16,), "dropout": 0.0, "pack": 2}),
    Port("began", settings={"width": 4, "latent_dim": 8}),
    Port("tests/ports/sagan.py:SAGAN"),
    Port("pggan", settings={"channel_base": 64, "channel_max": 8, "latent_dim": 8, "grow": 48}),
    Port("tests/ports/unrolled.py:UnrolledGAN", one_process=None),
    Port("tests/ports/extragradient.py:ExtragradientGAN"),
    Port("tests/ports/annealed.py:Annealed"),
    Port("tests/ports/pretrained.py:Pretrained"),
]
FILES = [port for port in PORTS if "/" in port.target]
"""The others are installed, so tests/test_conformance.py checks them."""
every_port = pytest.mark.parametrize("port", PORTS, ids=[port.id for port in PORTS])


@pytest.fixture(autouse=True)
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are trusted in a temporary account."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "account"))


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images in two sizes, clips, sounds, and a table."""
    folder = tmp_path_factory.mktemp("data")
    digits = data.open("digits", image_size=16).values[:64]
    for name, step in (("small", 2), ("large", 1)):
        (folder / name).mkdir()
        for i, image in enumerate(digits[:, 0, ::step, ::step]):
            Image.fromarray(image).save(folder / name / f"{i}.png")
    (folder / "dark").mkdir()
    for i, image in enumerate(digits[:, 0]):
        Image.fromarray(image // 2).save(folder / "dark" / f"{i}.png")
    (folder / "sounds").mkdir()
    for i in range(32):
        with wave.open(str(folder / "sounds" / f"{i}.wav"), "wb") as file:
            file.setparams((1, 2, 4000, 0, "NONE", ""))
            file.writeframes((10_000 * np.sin(np.arange(256) * (0.05 + 0.01 * i))).astype("<i2").tobytes())
    (folder / "films").mkdir()
    for i, image in enumerate(digits[:48, 0]):
        first, *rest = (Image.fromarray(np.roll(image, j * (1 + i % 3), 1)) for j in range(4))
        first.save(folder / "films" / f"{i}.gif", save_all=True, append_images=rest, duration=100)
    rows = [f"{20 + i % 50},{'female' if i % 3 else 'male'},{1.5 + i % 7 / 20:.2f}" for i in range(100)]
    (folder / "people.csv").write_text("\n".join(["age,sex,height", *rows]))
    return folder


def train(port: Port, out: Path, options: dict[str, Any], kill_at: int | None = None, sgd: bool = False) -> None:
    """Train or resume the run at `out`; for processes of their own."""
    if sgd:  # Adam turns the rounding error of a gradient into a step of full length
        GAN.make_optimizer = lambda gan, network, lr: torch.optim.SGD(  # type: ignore[method-assign]
            [p for p in network.parameters() if p.requires_grad], 0.01
        )
    callbacks = [] if kill_at is None else [Killer(kill_at)]
    if (out / "config.json").exists():
        ganzoo.train(resume=out, steps=options["steps"], callbacks=callbacks)
    else:
        settings = {"batch_size": 16, **port.settings, **options.pop("settings", {})}
        if port.dataset == "digits":
            settings["image_size"] = 16
        ganzoo.train(
            port.name,
            dataset=options.pop("dataset", port.dataset),
            out=out,
            callbacks=callbacks,
            settings=settings,
            **options,
        )


@every_port
def test_killed_and_resumed_is_exact_and_samples_and_metrics_mean_something(
    port: Port, datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swd, "DIRECTIONS", 16)  # whether there are values does not depend on their number
    dataset = port.dataset.replace("{}", str(datasets))
    options = {"steps": 20, "checkpoint_every": 6, "log_every": 5, "dataset": dataset}
    environment = {"XDG_DATA_HOME": str(tmp_path / "account")}
    processes = [
        start(train, port, tmp_path / "whole", dict(options), **environment),
        start(train, port, tmp_path / "parts", dict(options), 15, **environment),
    ]
    with ended(processes):
        assert [join(process) for process in processes] == [0, -9]
        resumed = start(train, port, tmp_path / "parts", dict(options), **environment)
        with ended([resumed]):
            assert join(resumed) == 0
    assert_same(last_state(tmp_path / "parts"), last_state(tmp_path / "whole"))
    assert timeless(tmp_path / "parts") == timeless(tmp_path / "whole")

    evaluation = ganzoo.evaluate(tmp_path / "whole", metrics=port.metric and [port.metric], samples=200)
    assert evaluation.figures or port.metric is None
    assert all(math.isfinite(figure["value"]) for figure in evaluation.figures.values())
    gan = ganzoo.load(tmp_path / "whole")
    inputs = data.open(dataset).examples(4)[0] if gan.paired else None
    first, again, other = (gan.sample(4, seed=seed, inputs=inputs) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])
    assert gan.paired or not torch.equal(first, other)


@every_port
def test_two_ranks_train_as_one_process_does(port: Port, datasets: Path, tmp_path: Path) -> None:
    if port.one_process is None:
        pytest.skip("its update is not a mean over the batch; the check `ranks` compares both ranks")
    dataset = port.dataset.replace("{}", str(datasets))
    options = {"steps": 4, "settings": port.one_process, "dataset": dataset}
    for ranks in (1, 2):
        environment = {"XDG_DATA_HOME": str(tmp_path / "account")}
        codes = together(
            ranks, train, port, tmp_path / str(ranks), dict(options), None, True, folder=tmp_path, **environment
        )
        assert codes == [0] * ranks, (tmp_path / "output").read_text()
    one, two = (last_state(tmp_path / str(ranks)) for ranks in (1, 2))
    for part in ("model", "ema"):
        for name, tensor in one[part].items():
            torch.testing.assert_close(two[part][name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def outcomes(port: Port, checks: list[Check]) -> None:
    results = [run(check) for check in checks]
    failed = {result.check.name: str(result.error) for result in results if result.status == "failed"}
    assert not failed


@pytest.mark.parametrize("port", FILES, ids=[port.id for port in FILES])
def test_it_passes_the_quick_checks(port: Port) -> None:
    checks = [c for c in architecture_checks(port.name, **port.settings) if c.name not in SLOW_CHECKS]
    assert len(checks) == len(ARCHITECTURE) - len(SLOW_CHECKS)
    outcomes(port, checks)


@pytest.mark.slow
@pytest.mark.parametrize("port", FILES, ids=[port.id for port in FILES])
def test_it_passes_the_slow_checks(port: Port) -> None:
    outcomes(port, [c for c in architecture_checks(port.name, **port.settings) if c.name in SLOW_CHECKS])


def source(target: str, name: str) -> str:
    """The source of a class or method of a file, without blank lines."""
    text = (ROOT / target).read_text()
    node: Any = ast.parse(text)
    for part in name.split("."):
        node = next(child for child in node.body if getattr(child, "name", None) == part)
    return "\n".join(line for line in text.splitlines()[node.lineno - 1 : node.end_lineno] if line.strip())


@pytest.mark.parametrize(
    ("target", "name", "most"),
    [
        ("plugins/ganzoo_plugins/bigan/networks.py", "BiGANGame.training_step", 12),
        ("examples/files/consensus.py", "ConsensusGame.training_step", 12),
    ],
)
def test_the_rules_are_short(target: str, name: str, most: int) -> None:
    assert len(source(target, name).splitlines()) <= most


def test_truncation_leads_to_the_mean_style(tmp_path: Path) -> None:
    port = next(port for port in PORTS if "stylegan2" in port.target)
    train(port, tmp_path / "run", {"steps": 3})
    gan = ganzoo.load(tmp_path / "run")
    full, half, none = (gan.sample(8, seed=0, sampling={"truncation": psi}).float() for psi in (1.0, 0.5, 0.0))
    assert torch.equal(none[0], none[1])
    assert full.std(0).mean() > half.std(0).mean() > none.std(0).mean()


def test_the_classifier_of_k_plus_1_classes_learns_and_metrics_take_it_as_unconditional(tmp_path: Path) -> None:
    port = next(port for port in PORTS if port.target == "sgan")
    train(port, tmp_path / "run", {"steps": 150, "settings": {"width": 16}})
    gan = ganzoo.load(tmp_path / "run")
    assert (gan.classes, gan.spec.classes) == (0, 10)
    test = data.open("digits", split="test", image_size=16)
    real = encode(torch.from_numpy(test.values), gan.spec)
    right = gan.discriminator.classify(real).argmax(1) == torch.from_numpy(test.labels)  # type: ignore[operator, union-attr]
    assert right.float().mean() > 0.6


def test_the_augmentation_adapts(tmp_path: Path) -> None:
    port = next(port for port in PORTS if ":ADA" in port.target)
    train(port, tmp_path / "run", {"steps": 30, "settings": {"target": -1.0, "speed": 1000}})
    assert last_state(tmp_path / "run")["model"]["augmentation.p"] == pytest.approx(0.48)
