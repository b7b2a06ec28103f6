"""Ranks that die, stall, drift apart or get NaN, and resuming with a different number of ranks."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import ganzoo
from ganzoo.cli import launch
from ganzoo.core import distributed
from ganzoo.core.errors import UsageError
from ganzoo.gan import GAN
from ganzoo.training import checkpoint, loop
from ganzoo.training.run import Run
from tests.ranks import ended, join, start_ranks, together
from tests.runs import assert_same, last_state, timeless

LONG = {"steps": 10**6, "checkpoint_every": 20, "sample_every": 10**6}


def train(out: Path, options: dict[str, Any]) -> None:
    """Train a new run in `out`, or resume the run that is there."""
    small = {"architecture": "vanilla", "dataset": "digits", "batch_size": 24}
    if (out / "config.json").exists():
        ganzoo.train(resume=out, steps=options["steps"])
    else:
        ganzoo.train(out=out, **{**small, **options})


def wait_for(path: Path, processes: list[Any]) -> None:
    while not path.exists():
        assert all(process.is_alive() for process in processes)
        time.sleep(0.01)


def test_resumed_on_as_many_ranks_is_exact_with_dropout(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = {"checkpoint_every": 3, "sample_every": 100}
    assert together(2, train, whole, {"steps": 6, **options}, folder=tmp_path) == [0, 0]
    assert together(2, train, parts, {"steps": 3, **options}, folder=tmp_path) == [0, 0]
    assert together(2, train, parts, {"steps": 6}, folder=tmp_path) == [0, 0]
    assert_same(last_state(parts), last_state(whole))
    assert timeless(parts) == timeless(whole)
    assert len(checkpoint.read_state(parts / "checkpoints" / "step-00000006")["torch_rng"]) == 2


def from_another_run(out: Path, origin: Path) -> None:
    options = {"steps": 2, "log_every": 1, "batch_size": 16, "settings": {"width": 4, "image_size": 16}}
    ganzoo.train("dcgan", dataset="digits", out=out, init_from=origin, freeze="discriminator:2", **options)


def test_ranks_take_and_freeze_the_same_weights(tmp_path: Path) -> None:
    settings = {"width": 4, "image_size": 16}
    origin = ganzoo.train("dcgan", dataset="digits", steps=2, batch_size=16, out=tmp_path / "o", settings=settings)
    assert together(2, from_another_run, tmp_path / "ranks", origin.path, folder=tmp_path) == [0, 0]
    from_another_run(tmp_path / "one", origin.path)
    before, ranks, one = (last_state(tmp_path / name)["model"] for name in ("o", "ranks", "one"))
    for name, tensor in ranks.items():
        frozen = name.startswith(("discriminator.blocks.0.0.", "discriminator.blocks.1.0."))
        assert torch.equal(tensor, before[name]) == frozen, name
        torch.testing.assert_close(tensor.float(), one[name].float(), atol=1e-4, rtol=1e-3)


def with_sgd(out: Path, options: dict[str, Any]) -> None:
    GAN.optimizers = lambda gan: tuple(  # type: ignore[method-assign]
        torch.optim.SGD(network.parameters(), 0.02) for network in (gan.generator, gan.discriminator)
    )
    train(out, options)


def test_resumed_on_another_number_of_ranks(tmp_path: Path) -> None:
    options = {"architecture": "dcgan", "width": 8, "checkpoint_every": 3, "sample_every": 100}
    assert together(1, with_sgd, tmp_path / "one", {"steps": 6, **options}, folder=tmp_path) == [0]
    for steps, ranks in ((2, 2), (4, 1), (6, 4)):
        codes = together(ranks, with_sgd, tmp_path / "many", {"steps": steps, **options}, folder=tmp_path)
        assert codes == [0] * ranks
    output = (tmp_path / "output").read_text()
    assert "step-00000002 was written by 2 ranks and is resumed by 1" in output
    assert "step-00000004 was written by 1 ranks and is resumed by 4" in output
    ours, theirs = (
        load_file(tmp_path / run / "checkpoints/step-00000006/model.safetensors") for run in ("many", "one")
    )
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-4, atol=1e-5)
    assert [resume["ranks"] for resume in Run.open(tmp_path / "many").config["resumes"]] == [1, 4]


def drifting(out: Path, options: dict[str, Any]) -> None:
    step = loop.compute_step

    def drift(state: Any, get_batch: Any) -> Any:
        logs = step(state, get_batch)
        if state.step == 2 and distributed.rank() == 1:
            with torch.no_grad():
                next(state.gan.generator.parameters())[0, 0] *= 1 + 1e-6
        return logs

    loop.compute_step = drift
    train(out, options)


def test_ranks_that_drift_apart_are_stopped(tmp_path: Path) -> None:
    options = {"steps": 8, "checkpoint_every": 4, "sample_every": 100}
    assert together(2, drifting, tmp_path / "run", options, folder=tmp_path) == [1, 1]
    assert "after step 4 their values of generator" in (tmp_path / "output").read_text()
    assert [path.name for path in checkpoint.checkpoints(tmp_path / "run" / "checkpoints")] == ["step-00000000"]


def poisoned(out: Path, options: dict[str, Any]) -> None:
    loss = GAN.discriminator_losses
    calls = iter(range(10**6))

    def poison(gan: GAN, real: torch.Tensor, *rest: Any) -> Any:
        if next(calls) == 2 and distributed.rank() == 1:
            real = real * torch.nan
        return loss(gan, real, *rest)

    GAN.discriminator_losses = poison  # type: ignore[method-assign]
    train(out, options)


def test_nan_on_one_rank_stops_all_before_the_optimizer(tmp_path: Path) -> None:
    options = {"steps": 8, "checkpoint_every": 2, "sample_every": 100}
    assert together(2, poisoned, tmp_path / "run", options, folder=tmp_path) == [1, 1]
    assert (tmp_path / "output").read_text().count(
        "at step 3, in the discriminator's phase, discriminator_loss became nan"
    ) == 2
    assert checkpoint.newest_valid(tmp_path / "run" / "checkpoints")[0].name == "step-00000002"


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_a_rank_that_dies_or_stalls_ends_the_others_in_time(fault: signal.Signals, tmp_path: Path) -> None:
    run = tmp_path / "run"
    processes = start_ranks(3, train, run, LONG, folder=tmp_path, GANZOO_TIMEOUT=3)
    with ended(processes):
        wait_for(run / "checkpoints" / "step-00000020", processes)
        os.kill(processes[1].pid or 0, fault)
        began = time.monotonic()
        assert [join(processes[i], 30) for i in (0, 2)] == [1, 1]
        assert time.monotonic() - began < 20
    assert "Rank 0 of 3 lost another one" in (tmp_path / "output").read_text()
    path, problems = checkpoint.newest_valid(run / "checkpoints")
    assert not problems
    step = checkpoint.read_state(path)["step"]
    ganzoo.train(resume=run, steps=step + 2)


def test_a_signal_to_one_rank_stops_all_at_one_step(tmp_path: Path) -> None:
    run = tmp_path / "run"
    processes = start_ranks(2, train, run, LONG, folder=tmp_path)
    with ended(processes):
        wait_for(run / "checkpoints" / "step-00000020", processes)
        os.kill(processes[1].pid or 0, signal.SIGTERM)
        assert [join(process) for process in processes] == [143, 143]
    path, problems = checkpoint.newest_valid(run / "checkpoints")
    assert not problems
    assert checkpoint.read_state(path)["step"] == Run.open(run).metrics()[-1]["step"]


def command(*words: object) -> list[str]:
    return [*map(str, words), "train", "vanilla", "--dataset", "digits", "--batch-size", "16"]


def ranks_of(launcher: subprocess.Popen[Any]) -> list[int]:
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    return [
        pid for pid, words in commands.items() if b"from ganzoo.cli import main" in words or b"-m\0ganzoo\0" in words
    ]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def launched(run: Path, **environment: object) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """`ganzoo train --nproc 2 --out RUN` once it has written a checkpoint, and the process ids of its ranks."""
    words = command(sys.executable, "-m", "ganzoo")
    words += ["--steps", "1000000", "--checkpoint-every", "20", "--nproc", "2", "--out", str(run)]
    variables = os.environ | {name: str(value) for name, value in environment.items()}
    launcher = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=variables)
    try:
        deadline = time.monotonic() + 60
        while not (run / "checkpoints" / "step-00000020").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        ranks = ranks_of(launcher)
        assert len(ranks) == 2
        yield launcher, ranks
    finally:
        launcher.kill()
    assert not any(is_alive(pid) for pid in ranks)


def saved_step(run: Path) -> int:
    path, problems = checkpoint.newest_valid(run / "checkpoints")
    assert not problems
    return int(checkpoint.read_state(path)["step"])


in_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")


@in_proc
@pytest.mark.parametrize(
    "fault",
    [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)],  # torch kills a stopped process after 30 s
)
def test_nproc_a_lost_rank_ends_the_job_without_orphans_and_resume_works(fault: signal.Signals, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with launched(run, GANZOO_TIMEOUT=5) as (launcher, ranks):
        os.kill(ranks[0 if fault == signal.SIGKILL else 1], fault)
        output = launcher.communicate(timeout=90)[1]
        assert launcher.returncode == (128 + signal.SIGKILL if fault == signal.SIGKILL else 1), output
    ganzoo.train(resume=run, steps=saved_step(run) + 2)


@in_proc
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_nproc_a_signal_saves_a_checkpoint_and_sets_the_exit_code(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with launched(run) as (launcher, _):
        launcher.send_signal(number)
        time.sleep(0.02)
        launcher.send_signal(number)
        output = launcher.communicate(timeout=60)[1]
        assert launcher.returncode == code, output
        assert "Traceback" not in output
    assert saved_step(run) == Run.open(run).metrics()[-1]["step"]


@pytest.mark.slow
def test_torchrun_restarts_from_the_last_checkpoint(tmp_path: Path) -> None:
    """The result equals that of an uninterrupted run, bit for bit."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    options = ["--steps", "600", "--checkpoint-every", "20"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    words = command(*torchrun, "-m", "ganzoo") + options
    subprocess.run([*words, "--out", str(whole)], check=True, timeout=120, **quiet)  # type: ignore[call-overload]
    words = command(*torchrun, "--max-restarts", "2", "-m", "ganzoo") + options
    launcher = subprocess.Popen([*words, "--out", str(run)], **quiet)  # type: ignore[call-overload]
    try:
        for _ in range(2):
            before = {*run.glob("checkpoints/*")}
            while len({*run.glob("checkpoints/step-*/manifest.json")} - before) < 2 or len(ranks_of(launcher)) < 2:
                assert launcher.poll() is None
                time.sleep(0.05)
            time.sleep(0.5)
            if launcher.poll() is None and (pids := ranks_of(launcher)):
                os.kill(pids[-1], signal.SIGKILL)
                time.sleep(3)
        assert launcher.wait(120) == 0
    finally:
        launcher.kill()
    assert Run.open(run).config["resumes"]
    assert_same(last_state(run), last_state(whole))


def test_a_restart_resumes_the_output_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = str(tmp_path)
    assert launch.after_restart(None, out) == (None, out)
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "2")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert launch.after_restart(None, out) == (None, out)
    assert launch.after_restart("run", None) == ("run", None)
    with pytest.raises(UsageError, match="give --out"):
        launch.after_restart(None, None)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert launch.after_restart(None, out) == (None, out)  # killed before there was a run
    (tmp_path / "config.json").touch()
    assert launch.after_restart(None, out) == (out, None)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.slow
def test_after_the_loss_of_a_node_the_others_go_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    """Bit for bit as a run of that many ranks that was resumed there."""
    run, whole, port = tmp_path / "run", tmp_path / "whole", free_port()
    elastic = [
        "--nnodes", "1:2", "--nproc-per-node", "1", "--max-restarts", "3", "--rdzv-backend", "c10d",
        "--rdzv-endpoint", f"localhost:{port}", "--rdzv-conf", "last_call_timeout=3",
    ]  # fmt: skip
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    options = ["--steps", "400", "--checkpoint-every", "20", "--out"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": os.environ | {"OMP_NUM_THREADS": "1"}}
    words = [*command(*torchrun, *elastic, "-m", "ganzoo"), *options, str(run), "--autoresume"]
    nodes = []
    try:
        for _ in range(2):
            nodes.append(subprocess.Popen(words, **quiet))  # type: ignore[call-overload]
            time.sleep(1)  # the first node keeps the meeting place
        deadline = time.monotonic() + 120
        while len([*run.glob("checkpoints/step-*/manifest.json")]) < 2:
            assert nodes[0].poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for pid in (nodes[1].pid, *ranks_of(nodes[1])):
            os.kill(pid, signal.SIGKILL)
        assert nodes[0].wait(400) == 0
    finally:
        for node in nodes:
            node.kill()
    (resume,) = Run.open(run).config["resumes"]
    assert resume["ranks"] == 1
    words = command(*torchrun, "--standalone", "--nproc-per-node", "2", "-m", "ganzoo")
    before = ["--steps", str(resume["step"]), "--checkpoint-every", "20", "--out", str(whole)]
    subprocess.run([*words, *before], check=True, timeout=120, **quiet)  # type: ignore[call-overload]
    resumed = [sys.executable, "-m", "ganzoo", "train", "--resume", str(whole), "--steps", "400"]
    subprocess.run(resumed, check=True, timeout=120, **quiet)  # type: ignore[call-overload]
    assert_same(last_state(run), last_state(whole))
