"""Every architecture on a GPU: the same losses as on the CPU, in a CUDA graph, and resumed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

import ganzoo
from ganzoo.core import registry
from ganzoo.explore.interactive import InteractiveTraining
from ganzoo.testing.fixtures import ArchitectureFixture
from ganzoo.training import cuda_graph as graph
from ganzoo.training import loop
from ganzoo.training.batches import Batches
from ganzoo.training.state import TrainingState
from tests.conftest import Command
from tests.runs import assert_same, last_state
from tests.sessions import session
from tests.training.test_resume import OF_DIGITS, SMALL

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
every_architecture = pytest.mark.parametrize("name", registry.names(registry.ARCHITECTURES))
STEPS = 4
RANDOM = {"randn", "rand", "randint", "randperm", "normal_", "uniform_", "random_", "bernoulli_", "exponential_"}
RANDOM |= {"bernoulli", "normal", "multinomial", "native_dropout", "randn_like", "rand_like"}


class DrawsOnCpu(TorchDispatchMode):
    """Draws random numbers on the CPU, whatever the device, so that two devices draw the same."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = torch.Generator().manual_seed(0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.name().removeprefix("aten::").partition(".")[0]
        if name not in RANDOM:
            return func(*args, **kwargs)
        tensors = [t for t in args if isinstance(t, Tensor)]
        device = tensors[0].device if tensors else kwargs.get("device") or torch.device("cpu")
        if "device" in kwargs:
            kwargs["device"] = torch.device("cpu")
        if kwargs.get("generator") is not None:
            kwargs["generator"] = self.rng
        drawn = func(*tree_map(lambda v: v.cpu() if isinstance(v, Tensor) else v, args), **kwargs)
        if name.endswith("_"):
            return args[0].copy_(drawn)
        return tree_map(lambda t: t.to(device) if isinstance(t, Tensor) else t, drawn)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Float32 products and deterministic algorithms, as in `ganzoo.train`."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)
    tf32 = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.allow_tf32 = tf32


def start(name: str, device: str, precision: str = "fp32") -> tuple[TrainingState, Batches]:
    fixture = ArchitectureFixture(registry.find_architecture(name).card, {"batch_size": 8})
    torch.manual_seed(0)
    gan = fixture.build().to(device)
    return TrainingState(gan.train(), 0, precision), fixture.batches(gan)


@every_architecture
def test_losses_are_those_of_the_cpu(name: str) -> None:
    history = []
    for device in ("cpu", "cuda"):
        state, batches = start(name, device)
        with DrawsOnCpu():
            torch.manual_seed(0)  # of dropout
            logs = []
            for _ in range(STEPS):
                logs.append({key: value.double().cpu() for key, value in loop.train_step(state, batches).items()})
                state.step += 1
        history.append(logs)
    for step, (cpu, gpu) in enumerate(zip(*history)):
        for key, value in cpu.items():
            message = f"{key} of step {step}: {float(gpu[key].mean())}, on the CPU {float(value.mean())}"
            torch.testing.assert_close(gpu[key], value, rtol=2e-2, atol=5e-3, msg=message)


@every_architecture
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_steps_in_a_graph_or_without_are_finite(name: str, precision: str) -> None:
    notes: list[str] = []
    state, batches = start(name, "cuda", precision)
    step = graph.stepper(state, batches, loop.compute_step, None, notes.append)
    for _ in range(STEPS):
        logs = step()
        assert all(torch.isfinite(value).all() for value in logs.values())
        loop.update_ema(state)
        state.step += 1
    reason = graph._unsupported_reason(state, batches) or next(iter(notes), None)
    if reason is not None:
        pytest.skip(f"{name} in {precision} has no graph: {reason}")  # trained all the same


@pytest.mark.parametrize("name", OF_DIGITS)
def test_stopped_and_resumed_equals_uninterrupted(name: str, tmp_path: Path) -> None:
    card = registry.find_architecture(name).card
    small = {**SMALL, **card.check_settings, "dataset": "mosaic:digits" if card.paired else "digits"}
    whole = ganzoo.train(name, steps=6, out=tmp_path / "whole", device="cuda", **small)
    ganzoo.train(name, steps=4, out=tmp_path / "parts", device="cuda", **small)
    parts = ganzoo.train(resume=tmp_path / "parts", steps=6, device="cuda")
    assert_same(last_state(parts.path), last_state(whole.path))


def test_one_rank_of_torchrun_trains_the_same(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    words = ["train", "cgan", "--dataset", "digits", "--steps", "4", "--set", "width=4", "--device", "cuda"]
    subprocess.run([*torchrun, "-m", "ganzoo", *words, "--no-cuda-graph", "--out", tmp_path / "rank"], check=True)
    subprocess.run([sys.executable, "-m", "ganzoo", *words, "--no-cuda-graph", "--out", tmp_path / "one"], check=True)
    assert_same(last_state(tmp_path / "rank")["model"], last_state(tmp_path / "one")["model"])


def test_what_a_gpu_has_trained_is_sampled_explored_and_exported(ganzoo_cli: Command, tmp_path: Path) -> None:
    run = ganzoo.train("cgan", dataset="digits", steps=4, out=tmp_path / "run", device="cuda", width=4).path
    for words in (
        ("sample", run, "--device", "cuda", "--out", tmp_path / "sample.png"),
        ("walk", run, "--device", "cuda", "--out", tmp_path / "walk.gif"),
        ("directions", run, "--out", tmp_path / "directions.png"),
        ("evaluate", run, "--device", "cuda", "--samples", 100),
        ("export", run, "--to", "pt2", "--out", tmp_path / "cgan.pt2"),
    ):
        result = ganzoo_cli(*words)
        assert result.code == 0, (words, result.err)
    live = InteractiveTraining(session("cgan", "digits", {"width": 4, "batch_size": 16}, device="cuda"))
    for players in ("both", "discriminator", "generator"):
        live.step(players)
    assert live.samples()
