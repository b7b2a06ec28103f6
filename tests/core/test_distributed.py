"""N ranks compute the same as one process: data, noise, statistics and gradients, up to rounding."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import ganzoo
from ganzoo.core import distributed
from ganzoo.core.errors import TrainingError, UsageError
from ganzoo.gan import GAN
from ganzoo.nn import SynchronisedBatchNorm, synchronise
from ganzoo.training.diagnostics import Diagnostics
from ganzoo.training.run import Run
from ganzoo.training.state import TrainingState
from tests.conftest import Command
from tests.ranks import join, start, together
from tests.sessions import session

THREADS_AFTER_TRAINING = """
import os, pathlib, ganzoo
ganzoo.train("vanilla", dataset="ring", steps=1, batch_size=8)
names = [path.read_text().strip() for path in pathlib.Path("/proc/self/task").glob("*/comm")]
pathlib.Path(os.environ["RANK"]).write_text(" ".join(names))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the threads of a process are read from /proc")
def test_a_rank_leaves_no_thread_of_the_process_group(tmp_path: Path) -> None:
    """Such a thread may release a tensor while the interpreter exits, which aborts the process."""
    script = tmp_path / "train.py"
    script.write_text(THREADS_AFTER_TRAINING)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    subprocess.run(torchrun, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, timeout=300)
    for rank in "01":
        assert "gloo" not in (tmp_path / rank).read_text()


def collectives() -> None:
    rank, size = distributed.rank(), distributed.size()
    assert distributed.shard(torch.arange(12)).tolist() == list(range(rank * 12 // size, (rank + 1) * 12 // size))
    assert torch.cat(distributed.all_gather(distributed.shard(torch.arange(12), 2))).tolist() == [
        0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11
    ]  # fmt: skip
    tensors = [torch.full((2, 3), float(rank)), torch.full((1, 2, 2, 2), 10.0 * rank)]
    tensors[1] = tensors[1].to(memory_format=torch.channels_last)
    distributed.all_reduce_mean(tensors)
    assert tensors[0].eq((size - 1) / 2).all()
    assert tensors[1].eq(10 * (size - 1) / 2).all()
    assert distributed.all_reduce_max(rank * 7) == 7 * (size - 1)
    assert distributed.on_rank0(lambda: f"made by {distributed.rank()}") == "made by 0"
    assert [int(t) for t in distributed.all_gather(torch.tensor(rank))] == list(range(size))
    with pytest.raises(UsageError, match=r"not a multiple of the 3 ranks\. Choose 6 or 9"):
        distributed.check(7, 1, 1, "cpu")
    with pytest.raises(
        UsageError, match=r"batch_size=9 is not a multiple of the 3 ranks times accumulate=2\. Choose 6 or"
    ):
        distributed.check(9, 2, 1, "cpu")
    with pytest.raises(UsageError, match=r"batch_size=6 is not a multiple of the 3 ranks times pack=4\. Choose 12\."):
        distributed.check(6, 1, 4, "cpu")
    with pytest.raises(UsageError, match="3 ranks take one each"):
        distributed.check(6, 1, 1, "cuda:0")

    def refuse() -> None:
        raise UsageError("no")

    with pytest.raises(UsageError, match="no"):
        distributed.on_rank0(refuse)
    weights = {"a": torch.ones(3), "b": torch.ones(2, dtype=torch.bfloat16), "c": torch.ones((), dtype=torch.int64)}
    distributed.check_same(weights, 1)
    if rank == 1:
        weights["b"][1] += 1
    with pytest.raises(TrainingError, match="after step 5 their values of b differ"):
        distributed.check_same(weights, 5)


def test_collectives(tmp_path: Path) -> None:
    assert together(3, collectives, folder=tmp_path) == [0, 0, 0]


def test_in_a_single_process_they_do_nothing() -> None:
    tensor = torch.rand(4)
    values = tensor.clone()
    assert (distributed.rank(), distributed.size()) == (0, 1)
    assert distributed.shard(tensor).equal(values)
    assert distributed.shard(tensor, 2).equal(values)
    assert distributed.all_reduce_sum(tensor) is tensor
    assert distributed.all_reduce_max(3) == 3
    assert distributed.on_rank0(lambda: "result") == "result"
    assert [gathered is tensor for gathered in distributed.all_gather(tensor)] == [True]
    distributed.all_reduce_mean([tensor])
    distributed.check_same({"tensor": tensor}, 1)
    distributed.check(7, 1, 1, "cuda:0")
    assert tensor.equal(values)
    with distributed.process_group():
        assert distributed.size() == 1


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv(distributed.TIMEOUT, text)
    with pytest.raises(UsageError, match=f"{distributed.TIMEOUT}={text} is not valid"), distributed.process_group():
        pass


def norm_and_input(kind: str) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    shape, types = {
        "1d": ((6, 3), nn.BatchNorm1d), "2d": ((6, 3, 4, 4), nn.BatchNorm2d), "plain": ((6, 3, 2, 2), nn.BatchNorm2d)
    }[kind]  # fmt: skip
    options: dict[str, Any] = {"plain": {"affine": False, "momentum": None}}.get(kind, {})
    norm = types(3, **options).double()
    if norm.affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return norm, torch.randn(shape, dtype=torch.float64) * 3 + 1e4  # E x^2 - (E x)^2 would lose all digits at this mean


def outcome(norm: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Output, first derivatives of a sum over all ranks, derivatives of their squares, and the running statistics."""
    x = x.clone().requires_grad_()
    y = norm(x)
    variables = [x, *norm.parameters()]
    first = torch.autograd.grad(
        (y.sin() * torch.arange(y.shape[1]).view(1, -1, *[1] * (y.dim() - 2))).sum(), variables, create_graph=True
    )
    parts = [
        first[0].square().sum() * 1e3,
        *(distributed.all_reduce_sum(g).square().sum() / distributed.size() for g in first[1:]),
    ]
    second = torch.autograd.grad(torch.stack(parts).sum(), variables)
    sums = [distributed.all_reduce_sum(g) for g in (*first[1:], *second[1:])]
    return [y, first[0], second[0], *sums, *norm.buffers()]


def compare_norm(kind: str) -> None:
    norm, x = norm_and_input(kind)
    parent = nn.Sequential(norm)
    tensors = [id(t) for t in (*norm.parameters(), *norm.buffers())]
    synchronise(parent)
    assert isinstance(parent[0], SynchronisedBatchNorm)
    assert [id(t) for t in (*parent[0].parameters(), *parent[0].buffers())] == tensors
    actual = outcome(parent[0], distributed.shard(x))
    expected = torch.load(f"{kind}.pt")
    for i, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
        whole = distributed.shard(theirs) if i < 3 else theirs
        torch.testing.assert_close(ours, whole, rtol=1e-6, atol=1e-9, msg=lambda text, i=i: f"{kind} {i}: {text}")


@pytest.mark.parametrize("kind", ["1d", "2d", "plain"])
def test_synchronised_batch_norm_is_batch_norm_of_the_whole_batch(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save([t.detach() for t in outcome(*norm_and_input(kind))], f"{kind}.pt")
    assert together(3, compare_norm, kind, folder=tmp_path) == [0, 0, 0]


def train(out: Path, sgd: bool, options: dict[str, Any]) -> None:
    """With SGD, since Adam turns a rounding error of a gradient into a full step."""
    if sgd:
        GAN.optimizers = lambda gan: tuple(  # type: ignore[method-assign]
            torch.optim.SGD(network.parameters(), 0.02) for network in (gan.generator, gan.discriminator)
        )
    ganzoo.train(out=out, dataset="digits", sample_every=100, **options)


CASES: dict[str, dict[str, Any]] = {
    "dcgan": {"architecture": "dcgan", "width": 8},
    "penalty": {"architecture": "wgan", "width": 8, "penalty": "gradient", "discriminator_steps": 2},
    "r1": {"architecture": "cgan", "width": 8, "penalty": "r1", "discriminator_norm": "none"},
    "clip": {"architecture": "wgan", "width": 8},
    "parts": {"architecture": "dcgan", "width": 8, "accumulate": 2},
}


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_train_as_one_process_does(case: str, tmp_path: Path) -> None:
    options = {"batch_size": 16, "steps": 4, **CASES[case]}
    one, two = tmp_path / "one", tmp_path / "two"
    process = start(train, one, True, options)
    assert together(2, train, two, True, options, folder=tmp_path) == [0, 0]
    assert join(process) == 0
    for name in ("model", "ema"):
        ours, theirs = (load_file(run / "checkpoints" / "step-00000004" / f"{name}.safetensors") for run in (two, one))
        for key, tensor in theirs.items():
            torch.testing.assert_close(ours[key], tensor, rtol=1e-4, atol=1e-5, msg=lambda t, k=key: f"{k}: {t}")
    assert len(Run.open(two).metrics()) == 1  # only rank 0 writes
    for a, b in zip(Run.open(two).metrics(), Run.open(one).metrics(), strict=True):
        clock = {"seconds", "images_per_second"}
        assert a.keys() == b.keys()
        differ = {
            name: (a[name], b[name]) for name in a.keys() - clock if a[name] != pytest.approx(b[name], 5e-3, 1e-5)
        }
        assert not differ
    assert Run.open(two).config["ranks"] == 2


def yardstick(file: Path) -> None:
    prepared = session("vanilla", "digits", {"batch_size": 16})
    diagnostics = Diagnostics(TrainingState(prepared.build(), 0), prepared.make_batches())
    torch.save([diagnostics.real_distance, diagnostics.duplicate_distance], f"{file}-{distributed.rank()}")


def test_every_rank_measures_samples_by_the_real_images_that_one_process_does(tmp_path: Path) -> None:
    yardstick(tmp_path / "one")
    assert together(2, yardstick, tmp_path / "two", folder=tmp_path) == [0, 0]
    one, first, second = (torch.load(tmp_path / name) for name in ("one-0", "two-0", "two-1"))
    torch.testing.assert_close([first, second], [one, one])


@pytest.mark.parametrize("world", [{}, {"WORLD_SIZE": "2"}])
def test_an_error_is_printed_where_a_scheduler_has_set_rank(
    world: dict[str, str], ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "1", **world}.items():
        monkeypatch.setenv(name, value)
    result = ganzoo_cli("sample", "nosuch")
    assert (result.code, "nosuch is not a run directory" in result.err) == (2, True)
