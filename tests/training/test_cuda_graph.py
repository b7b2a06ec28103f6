"""Steps replayed from a graph: on a GPU a CUDA graph, on the CPU a stand-in that computes the step again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import ganzoo
from ganzoo.core import registry
from ganzoo.core.errors import TrainingError, UsageError
from ganzoo.ops import use_backend
from ganzoo.testing.fixtures import ArchitectureFixture
from ganzoo.training import cuda_graph as graph
from ganzoo.training import loop
from ganzoo.training.batches import Batches
from ganzoo.training.state import TrainingState
from ganzoo.training.state_snapshot import Snapshot
from tests.conftest import Command
from tests.runs import assert_same, last_state
from tests.sessions import new_state, session

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
CASES: dict[str, dict[str, Any]] = {
    "dcgan": {"width": 4},
    "dcgan, fp16": {"width": 4, "precision": "fp16"},
    "dcgan, parts": {"width": 4, "accumulate": 2},
    "wgan": {"discriminator_steps": 2},
    "cgan": {"width": 4, "optimizer": "rmsprop"},
}
every_case = pytest.mark.parametrize("case", CASES)


def start(case: str, device: str = "cpu", **options: Any) -> tuple[TrainingState, Batches]:
    settings = {"batch_size": 8, **CASES[case], **options}
    precision = settings.pop("precision", "fp32")
    prepared = session(case.partition(",")[0], "digits", settings, device=device, precision=precision)
    return new_state(prepared), prepared.make_batches()


def record_eagerly(state: TrainingState, work: Callable[[], graph.Logs]) -> tuple[graph.Logs, Callable[[], None]]:
    """A stand-in for a graph: every replay computes the step and writes its logs to the same memory."""
    logs = {name: value.clone() for name, value in work().items()}

    def replay() -> None:
        for name, value in work().items():
            logs[name].copy_(value)

    return logs, replay


def record_nothing(state: TrainingState, work: Callable[[], graph.Logs]) -> tuple[graph.Logs, Callable[[], None]]:
    """A wrong graph: its replay does nothing."""
    logs = {name: value.clone() for name, value in work().items()}
    return logs, lambda: None


def run(step: Callable[[], graph.Logs], state: TrainingState, steps: int) -> list[dict[str, Tensor]]:
    history = []
    for _ in range(steps):
        history.append({name: value.clone() for name, value in step().items()})
        loop.update_ema(state)
        state.step += 1
    return history


def eager(state: TrainingState, batches: Batches) -> Callable[[], graph.Logs]:
    return graph.stepper(state, batches, loop.compute_step, False, lambda text: None)


@every_case
def test_replayed_steps_equal_eager_steps_bit_for_bit(case: str) -> None:
    plain, graphed = start(case), start(case)
    expected = run(eager(*plain), plain[0], 5)
    for attempt in range(2):  # the second one starts in the middle of a run, as a resume does
        step = graph.GraphedStep(*graphed, loop.compute_step, record_eagerly)
        assert_same(run(step, graphed[0], 2 + attempt), expected[2 * attempt : 2 + 3 * attempt])
    assert_same(Snapshot(graphed[0]).tensors, Snapshot(plain[0]).tensors)
    assert_same(graphed[0].ema.network.state_dict(), plain[0].ema.network.state_dict())


@every_case
def test_a_graph_that_differs_from_the_eager_step_is_not_used(case: str) -> None:
    plain, other = start(case), start(case)
    with pytest.raises(graph.NotCapturedError, match="did not equal"):
        graph.GraphedStep(*other, loop.compute_step, record_nothing)
    assert_same(run(eager(*other), other[0], 3), run(eager(*plain), plain[0], 3))
    assert_same(Snapshot(other[0]).tensors, Snapshot(plain[0]).tensors)


class Synchronizations(TorchDispatchMode):
    """Records operations that cannot be captured: copies from the CPU, and values or sizes that the CPU waits for.

    The meta device stands for the GPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").partition(".")[0]
        inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        on_device = any(t.is_meta for t in inputs)
        masked = name == "index" and any(t is not None and t.dtype == torch.bool for t in args[1])
        if on_device and (masked or name in ("_local_scalar_dense", "nonzero", "masked_select", "equal")):
            self.operations.append(name)
        out = func(*args, **(kwargs or {}))
        places = {t.device.type for t in tree_leaves((inputs, out)) if isinstance(t, Tensor)}
        if name in ("_to_copy", "copy_") and len(places) > 1:
            self.operations.append(name)
        return out


class Constants(TorchFunctionMode):
    """Records tensors made of Python numbers on the device, which copies them from the CPU."""

    def __init__(self, operations: list[str]):
        super().__init__()
        self.operations = operations

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor) and out.is_meta:
            self.operations.append(func.__name__)
        return out


def test_constants_copied_to_the_device_are_recorded() -> None:
    operations: list[str] = []
    with Constants(operations):
        torch.tensor([1.0], device="meta")
        torch.zeros(1, device="meta").new_tensor([1.0])
        torch.tensor([1.0])
        torch.full((1,), 1.0, device="meta")
    assert operations == ["tensor", "new_tensor"]


@pytest.mark.parametrize("name", ["_local_scalar_dense", "_to_copy", "copy_", "nonzero", "index"])
def test_operations_that_cannot_be_captured_are_recorded(name: str) -> None:
    there, here = torch.zeros(3, device="meta"), torch.zeros(3)
    # meta tensors have no values to wait for
    with Synchronizations() as recorded, contextlib.suppress(NotImplementedError, RuntimeError):
        calls = {"_local_scalar_dense": lambda: there[0].item(), "index": lambda: there[there > 0]}
        calls |= {"_to_copy": lambda: here.to("meta"), "copy_": lambda: there.copy_(here), "nonzero": there.nonzero}
        calls[name]()
    assert recorded.operations == [name]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in registry.names(registry.ARCHITECTURES)),
        *(("dcgan", {"penalty": penalty}) for penalty in ("gradient", "r1", "r1r2")),
        ("cgan", {"accumulate": 2, "discriminator_steps": 2}),
        *(("dcgan", {"augmentation": name}) for name in ("ada", "diffaugment")),
    ],
)
def test_a_step_can_be_captured(name: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = ArchitectureFixture(registry.find_architecture(name).card, {"batch_size": 8, **settings})
    gan = prepared.build().train()
    batch = [None if t is None else t.to("meta") for t in prepared.batches(gan)(0)]
    monkeypatch.setattr("ganzoo.training.state._step", lambda *_: None)  # fused optimizers have no meta device,
    rng = torch.Generator()
    monkeypatch.setattr(torch, "Generator", lambda device: rng)  # nor have generators
    state = TrainingState(gan.to("meta"), 0)
    with use_backend("reference"), Synchronizations() as recorded, Constants(recorded.operations):
        logs = loop.compute_step(state, lambda k: tuple(batch))  # type: ignore[arg-type, return-value]
    assert not recorded.operations
    assert not any(value.requires_grad for value in logs.values())  # else they would keep the step's whole graph alive


def test_a_wrong_graph_leads_to_a_note_or_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "_unsupported_reason", lambda state, batches: None)
    monkeypatch.setattr(graph, "record_graph", record_nothing)
    notes: list[str] = []
    step = graph.stepper(*start("dcgan"), loop.compute_step, None, notes.append)
    assert step().keys() >= {"generator_loss"}
    assert notes == [
        "Steps run without a CUDA graph, which is slower: its replay did not equal the step it was captured from."
    ]
    with pytest.raises(TrainingError, match="has no CUDA graph: its replay did not equal"):
        graph.stepper(*start("dcgan"), loop.compute_step, True, notes.append)


def test_a_gpu_with_and_without_its_number_is_the_same() -> None:
    state, batches = start("wgan")
    state.device, batches.device = torch.device("cuda", 0), torch.device("cuda")
    assert graph._unsupported_reason(state, batches) is None


def test_phases_that_are_over_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "_unsupported_reason", lambda state, batches: None)
    monkeypatch.setattr(graph, "record_graph", record_eagerly)
    monkeypatch.setattr(graph, "MAX_GRAPHS", 2)
    monkeypatch.setattr(graph, "MIN_REPLAYS", 1)
    for phase, notes_expected in ((lambda step: step // 2, 0), (lambda step: step % 3, 1)):
        state, batches = start("wgan")
        monkeypatch.setattr(state.gan, "phase", phase)
        notes: list[str] = []
        step = graph.stepper(state, batches, loop.compute_step, None, notes.append)
        run(step, state, 7)
        assert len(notes) == notes_expected
        assert isinstance(step, graph.GraphedPhases)
        assert len(step.graphs) == (0 if notes else 2)
    assert "more than 2 phases take turns" in notes[0]


def test_on_a_cpu_only_an_explicit_cuda_graph_is_refused(ganzoo_cli: Command, tmp_path: Path) -> None:
    words = ["train", "cgan", "--dataset", "digits", "--steps", 1, "--device", "cpu", "--out", tmp_path / "run"]
    refused = ganzoo_cli(*words, "--cuda-graph")
    assert refused.code == 2
    assert "it is for NVIDIA GPUs, and this trains on cpu. Leave out --cuda-graph." in refused.err
    assert ganzoo_cli(*words[:-1], tmp_path / "other", "--no-cuda-graph").code == 0


def test_tf32_is_for_gpus() -> None:
    with pytest.raises(UsageError, match="precision=tf32 is for NVIDIA GPUs, and this trains on cpu"):
        ganzoo.train("cgan", dataset="digits", device="cpu", precision="tf32", steps=1)


def test_out_of_memory_says_which_options_to_try(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loop, "compute_step", full)
    with pytest.raises(
        TrainingError, match=r"out of memory with batch_size=16 in fp32. Try --accumulate 2, --batch-size 8, "
    ):
        ganzoo.train("cgan", dataset="digits", batch_size=16, steps=1, device="cpu", out=tmp_path / "run")


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("backend", ["reference", "native"])
def test_on_a_gpu_graphs_train_the_same_and_resume_exactly(backend: str, precision: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"dataset": "digits", "batch_size": 16, "width": 16, "image_size": 16}
    options |= {"precision": precision, "device": "cuda", "checkpoint_every": 3}
    with ganzoo.ops.use_backend(backend):
        runs = {
            graphed: ganzoo.train("dcgan", steps=7, cuda_graph=graphed, out=tmp_path / str(graphed), **options)
            for graphed in (True, False)
        }
        ganzoo.train("dcgan", steps=3, cuda_graph=True, out=tmp_path / "parts", **options)
        parts = ganzoo.train(resume=tmp_path / "parts", steps=7, cuda_graph=True)
    whole, plain, resumed = (last_state(r.path) for r in (runs[True], runs[False], parts))
    assert_same(resumed, whole)
    for part in ("model", "ema"):
        assert_same(plain[part], whole[part])


@pytest.fixture
def deterministic() -> Iterator[None]:
    """Deterministic kernels, as in `ganzoo.train`: without them a replay may differ from the captured step."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@needs_gpu
@every_case
@pytest.mark.usefixtures("deterministic")
def test_on_a_gpu_replayed_steps_equal_eager_steps_bit_for_bit(case: str) -> None:
    plain, graphed = start(case, "cuda"), start(case, "cuda")
    if case == "cgan":  # RMSprop with a capturable step
        assert graph._unsupported_reason(*graphed) is None
    step = graph.GraphedStep(*graphed, loop.compute_step)
    assert_same(run(step, graphed[0], 4), run(eager(*plain), plain[0], 4))
