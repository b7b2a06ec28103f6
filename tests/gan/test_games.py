"""Other rules of training than the default step: they train, resume exactly after a kill, and agree on ranks."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import ganzoo
from ganzoo.core import registry
from ganzoo.core.errors import PluginError, TrainingError
from ganzoo.gan import GAN, Logs, StepContext
from ganzoo.training import cuda_graph, loop
from ganzoo.training.run import Run
from ganzoo.training.state import TrainingState
from ganzoo.training.state_snapshot import Snapshot
from tests.gan import games
from tests.ranks import ended, join, start, together
from tests.runs import assert_same, last_state, timeless
from tests.sessions import new_state, session


@pytest.fixture(autouse=True)
def _restored_card() -> Iterator[None]:
    entry = registry.get_architecture("vanilla")
    card = entry.card
    yield
    entry.__dict__["card"] = card


def begin(game: type[GAN], **settings: Any) -> tuple[TrainingState, Any]:
    """The state and the batches of a training by the rules of `game`, before its first step."""
    games.install(game)
    precision = settings.pop("precision", "fp32")
    own = {**games.SMALL, **games.SETTINGS.get(game.__name__, {}), **settings}
    prepared = session("vanilla", "digits", own, precision=precision)
    return new_state(prepared), prepared.make_batches()


def lines(method: Any) -> int:
    return len([line for line in inspect.getsource(method).splitlines()[1:] if line.strip()])


def test_the_rules_are_short() -> None:
    assert lines(GAN.training_step) <= 25  # with its docstring and comments
    assert lines(games.BiGAN.training_step) <= 12
    assert lines(games.Consensus.training_step) <= 14
    assert lines(games.LazyR1.penalty) + lines(games.LazyR1.phase) <= 5


@pytest.mark.parametrize("game", games.GAMES)
@pytest.mark.parametrize("dataset", ["digits", "ring"])
def test_it_trains(game: str, dataset: str, tmp_path: Path) -> None:
    games.train(game, tmp_path / "run", {"dataset": dataset, "steps": 20, "generator_lr": 1e-3})
    gan = ganzoo.load(tmp_path / "run")
    assert gan.sample(3, seed=0).shape == (3, *gan.spec.shape)
    before, after = (
        load_file(tmp_path / "run" / "checkpoints" / f"step-{step:08d}" / "model.safetensors") for step in (0, 20)
    )
    assert all(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("game", games.GAMES)
def test_killed_and_resumed_is_exact(game: str, parts: int, tmp_path: Path) -> None:
    if game == "Consensus" and parts > 1:
        pytest.skip("a rule for whole batches")
    options = {"dataset": "digits", "steps": 20, "checkpoint_every": 5, "accumulate": parts}
    processes = [
        start(games.train, game, tmp_path / "whole", options),
        start(games.train, game, tmp_path / "parts", options, 13),
    ]
    with ended(processes):
        assert [join(process) for process in processes] == [0, -9]
        resumed = start(games.train, game, tmp_path / "parts", options)
        with ended([resumed]):
            assert join(resumed) == 0
    assert_same(last_state(tmp_path / "parts"), last_state(tmp_path / "whole"))
    assert timeless(tmp_path / "parts") == timeless(tmp_path / "whole")


@pytest.mark.parametrize("game", games.GAMES)
def test_two_ranks_train_as_one_process_does(game: str, tmp_path: Path) -> None:
    options = {"dataset": "digits", "steps": 6}
    for ranks in (1, 2):
        codes = together(ranks, games.train, game, tmp_path / str(ranks), options, None, True, folder=tmp_path)
        assert codes == [0] * ranks, (tmp_path / "said").read_text()
    one, two = (last_state(tmp_path / str(ranks)) for ranks in (1, 2))
    for part in ("model", "ema"):
        for name, tensor in one[part].items():
            torch.testing.assert_close(two[part][name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("game", games.GAMES)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision(game: str, precision: str) -> None:
    state, batches = begin(games.GAMES[game], precision=precision)
    before = {name: tensor.clone() for name, tensor in state.gan.state_dict().items()}
    dtypes = set()
    state.gan.discriminator.register_forward_hook(lambda module, inputs, output: dtypes.add(output.dtype))
    for state.step in range(4):
        logs = loop.train_step(state, batches)
        assert all(value.isfinite() for value in logs.values())
    expected = {torch.bfloat16 if precision == "bf16" else torch.float16}
    assert dtypes == expected
    assert state.weights_are_finite()
    assert all(not torch.equal(before[name], tensor) for name, tensor in state.gan.state_dict().items())


def test_a_third_player_is_logged_averaged_and_loaded(tmp_path: Path) -> None:
    games.train("BiGAN", tmp_path / "run", {"dataset": "digits", "steps": 4})
    (row,) = Run.open(tmp_path / "run").metrics()
    assert row["encoder_gradient"] > 0
    saved = last_state(tmp_path / "run")
    assert saved["state"].keys() >= {"encoder_optimizer", "encoder_scaler", "generator_optimizer"}
    gan = ganzoo.load(tmp_path / "run")
    for name, tensor in gan.encoder.state_dict().items():  # type: ignore[union-attr, operator]
        assert torch.equal(tensor, saved["ema"][f"encoder/{name}"])
        assert not torch.equal(tensor, saved["model"][f"encoder.{name}"])


def test_a_gradient_of_the_third_player_that_is_not_finite_changes_no_weight(tmp_path: Path) -> None:
    class Spoiled(games.BiGAN):
        def pair_loss(self, micro: Any, fake: torch.Tensor, sign: int) -> tuple[torch.Tensor, Logs]:
            loss, logs = super().pair_loss(micro, fake, sign)
            if sign < 0 and self.step_context.step == 2:
                weight = next(self.encoder.parameters())
                loss = loss + (weight.sum() * 0).sqrt()  # 0, with the gradient NaN
            return loss, logs

    state, batches = begin(Spoiled)
    for state.step in range(2):
        loop.train_step(state, batches)
    frozen = {n: p.clone() for n, p in state.gan.named_parameters() if not n.startswith("discriminator")}
    state.step = 2
    logs = loop.train_step(state, batches)
    assert logs["encoder_gradient"].isnan()
    assert logs["discriminator_gradient"].isfinite()
    for name, parameter in state.gan.named_parameters():
        assert name.startswith("discriminator") or torch.equal(parameter, frozen[name])
    games.install(Spoiled)
    with pytest.raises(TrainingError, match="at step 3, in the generator's phase, generator_gradient became nan"):
        ganzoo.train("vanilla", dataset="digits", steps=5, out=tmp_path / "run", **games.SMALL)


def test_a_lazy_penalty_is_logged_under_its_name_and_averaged_over_its_steps(tmp_path: Path) -> None:
    options = {"dataset": "digits", "steps": 20, "log_every": 10}
    games.train("LazyR1", tmp_path / "lazy", options)
    first, second = Run.open(tmp_path / "lazy").metrics()
    state, batches = begin(games.LazyR1)
    values = []
    for state.step in range(20):
        values.append(loop.train_step(state, batches).get("penalty"))
    applied = [i for i, value in enumerate(values) if value is not None]
    assert applied == [0, 16]
    assert first["penalty"] == pytest.approx(float(values[0]), abs=1e-5)  # type: ignore[arg-type]
    assert second["penalty"] == pytest.approx(float(values[16]), abs=1e-5)  # type: ignore[arg-type]
    assert {"generator_loss", "d_real", "generator_gradient"} <= second.keys()


def frozen_python(state: TrainingState, work: Any) -> tuple[Logs, Any]:
    """What a graph is: the step again, as Python saw it when it was captured."""
    captured = state.step
    logs = {name: value.clone() for name, value in work().items()}

    def replay() -> None:
        now, state.step = state.step, captured
        for name, value in work().items():
            logs[name].copy_(value)
        state.step = now

    return logs, replay


def graphed(state: TrainingState, batches: Any, monkeypatch: pytest.MonkeyPatch, notes: list[str]) -> Any:
    monkeypatch.setattr(cuda_graph, "_unsupported_reason", lambda state, batches: None)
    monkeypatch.setattr(cuda_graph, "record_graph", frozen_python)
    return cuda_graph.stepper(state, batches, loop.compute_step, None, notes.append)


@pytest.mark.parametrize("game", [games.BiGAN, games.Consensus, games.LazyR1])
def test_a_phase_is_a_graph_and_trains_the_same_bits(game: type[GAN], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(games.LazyR1, "every", 4)
    plain, other = begin(game), begin(game)
    plain[0].step = other[0].step = 1  # as resumed: neither this step nor the next two have the penalty
    notes: list[str] = []
    step = graphed(*other, monkeypatch, notes)
    for number in range(1, 10):
        plain[0].step = other[0].step = number
        expected = cuda_graph.eager_step(*plain, loop.compute_step)
        assert_same(dict(step()), dict(expected))
    assert_same(Snapshot(other[0]).tensors, Snapshot(plain[0]).tensors)
    assert not notes
    assert step.graphs.keys() == ({True, False} if game is games.LazyR1 else {None})


def test_there_is_no_graph_where_steps_differ_and_no_phase_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Undeclared(games.LazyR1):
        def phase(self, step: int) -> Any:
            return None

        def penalty(self, *args: Any) -> Any:
            return (0.0, {}) if self.step_context.step % 4 else GAN.penalty(self, *args)

    notes: list[str] = []
    state, batches = begin(Undeclared)
    state.step = 1
    graphed(state, batches, monkeypatch, notes)
    assert "it depends on the number of the step; GAN.phase can say how" in notes[0]


def test_plain_state_that_changes_every_step_is_not_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(GAN):
        count = 0

        def after_step(self, player: str) -> None:
            self.count += 1

        def state(self) -> dict[str, int]:
            return {"count": self.count}

        def load_state(self, state: Any) -> None:
            self.count = state["count"]

    def replays_all_but_python(state: TrainingState, work: Any) -> tuple[Logs, Any]:
        logs, replay = frozen_python(state, work)

        def on_the_device() -> None:
            count = state.gan.count
            replay()
            state.gan.load_state({"count": count})

        return logs, on_the_device

    notes: list[str] = []
    state, batches = begin(Counting)
    step = graphed(state, batches, monkeypatch, notes)
    assert not notes  # this recorder runs Python again
    monkeypatch.setattr(cuda_graph, "record_graph", replays_all_but_python)
    step = cuda_graph.stepper(state, batches, loop.compute_step, None, notes.append)
    assert "its replay did not equal the step it was captured from" in notes[0]
    assert state.gan.state() == {"count": 0}
    step()
    assert state.gan.state() == {"count": 2}


def test_many_phases_have_no_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    class EveryStep(GAN):
        def phase(self, step: int) -> Any:
            return step

    notes: list[str] = []
    state, batches = begin(EveryStep)
    step = graphed(state, batches, monkeypatch, notes)
    for state.step in range(cuda_graph.MAX_GRAPHS + 2):
        step()
    why = "it has more than 8 phases, and some are over after a few steps"
    assert notes == [f"Steps run without a CUDA graph, which is slower: {why}."]


def use(step_code: Any) -> tuple[TrainingState, Any]:
    class Wrong(GAN):
        def training_step(self, step: StepContext) -> Logs:
            step_code(self, step)
            return step.logs

    return begin(Wrong)


def test_gradients_of_any_memory_format_are_applied() -> None:
    state = new_state(session("dcgan", "digits", {"width": 8, "batch_size": 4}))
    weights = [p for p in state.gan.generator.parameters() if p.dim() == 4]
    assert any(not p.is_contiguous() for p in weights)  # channels_last, while these gradients are not
    gradients = [torch.rand(p.shape) - 0.5 for p in state.gan.generator.parameters()]
    expected = [p.detach() - state.gan.config.generator_lr * g.sign() for p, g in zip(weights_of(state), gradients)]
    with loop.TrainingStep(state, lambda k: None).update("generator") as update:  # type: ignore[arg-type,return-value]
        update.set_gradients("generator", gradients)
    for actual, value in zip(weights_of(state), expected):  # the first step of Adam
        torch.testing.assert_close(actual.detach(), value, rtol=0, atol=1e-6)


def weights_of(state: TrainingState) -> list[torch.Tensor]:
    return list(state.gan.generator.parameters())


def nested(gan: GAN, step: StepContext) -> None:
    with step.update("generator"), step.update("discriminator"):
        pass


def without_gradient(gan: GAN, step: StepContext) -> None:
    with step.update("generator"):
        pass


def too_few(gan: GAN, step: StepContext) -> None:
    with step.update("generator") as update:
        update.set_gradients("generator", [])


def unknown(gan: GAN, step: StepContext) -> None:
    with step.update("critic"):
        pass


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (unknown, "'critic' is unknown. The players are discriminator, generator"),
        (nested, "updates cannot be nested"),
        (without_gradient, "An update of the generator has no gradient"),
        (too_few, "0 gradients for 4 parameters"),
        (lambda gan, step: step.batches(1), "a step has batches 0..0, one per discriminator_steps"),
        (lambda gan, step: step.micro, "step.micro is the microbatch of the last"),
    ],
)
def test_a_wrong_step_is_refused(code: Any, message: str) -> None:
    state, batches = use(code)
    with pytest.raises(PluginError, match=message):
        loop.train_step(state, batches)


def test_players_without_the_generator_are_refused() -> None:
    class Alone(GAN):
        def players(self) -> Any:
            return {"discriminator": super().players()["discriminator"]}

    with pytest.raises(PluginError, match=r"players\(\) lacks generator; it returns discriminator"):
        begin(Alone)


def test_state_that_could_not_be_read_again_is_refused_when_it_is_saved(tmp_path: Path) -> None:
    class Opaque(GAN):
        def state(self) -> dict[str, Any]:
            return {"path": Path("x")}

    state, _ = begin(Opaque)
    with pytest.raises(PluginError, match=r"state\(\) may hold numbers, strings, tensors"):
        state.save(tmp_path)


def test_kept_images_are_those_of_the_generators_update() -> None:
    images = []

    def keep(gan: GAN, step: StepContext) -> None:
        (micro,) = step.batches()
        with step.update("discriminator") as update:
            fake = step.generate(micro, keep_graph=True)
            update.backward(gan.discriminator_loss(micro.real, fake.detach())[0])
        with step.update("generator") as update:
            images.extend([fake, step.generate(micro), step.generate(micro)])
            update.backward(gan.generator_loss(micro.real, images[1])[0])

    loop.train_step(*use(keep))
    assert images[0] is images[1]
    assert images[2] is not images[1]
    assert all(fake.requires_grad for fake in images)


def test_losses_know_the_step_the_noise_and_the_images_seen() -> None:
    seen = []

    class Curious(GAN):
        def generator_loss(self, real: Any, fake: Any, condition: Any = None) -> Any:
            context = self.step_context
            again = self.generate(context.micro.z, context.micro.condition)
            seen.append((context.step, context.images_seen, torch.equal(again, fake), len(real)))
            return super().generator_loss(real, fake, condition)

    state, batches = begin(Curious, accumulate=2)
    for state.step in range(2):
        loop.train_step(state, batches)
    assert seen == [(0, 0, True, 8)] * 2 + [(1, 16, True, 8)] * 2
    assert not hasattr(state.gan, "step_context")


def test_a_penalty_of_a_number_is_part_of_the_loss_and_logged() -> None:
    class Offset(GAN):
        def penalty(self, *args: Any) -> tuple[float, Logs]:
            return 0.5, {"offset": torch.tensor(0.5)}

    (state, batches), (plain, same_batches) = begin(Offset), begin(GAN)
    logs, expected = loop.train_step(state, batches), loop.train_step(plain, same_batches)
    assert logs["offset"] == 0.5
    torch.testing.assert_close(logs["discriminator_loss"], expected["discriminator_loss"] + 0.5)
    assert_same(dict(state.gan.state_dict()), dict(plain.gan.state_dict()))
