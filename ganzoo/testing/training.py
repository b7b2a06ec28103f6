"""Checks of training: which network learns in which step, gradients, losses, exact resume, synchronisation."""

from __future__ import annotations

import copy
import os
import tempfile
import traceback
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ganzoo.core import config as configs
from ganzoo.core.errors import UsageError
from ganzoo.testing.fixtures import BATCH, STEPS, ArchitectureFixture
from ganzoo.testing.kit import CheckError, location, rule
from ganzoo.training import checkpoint
from ganzoo.training.state import TrainingState
from ganzoo.training.state_snapshot import same_values

OPTIMIZERS = os.path.join(os.path.dirname(torch.optim.__file__), "")
OPTIMIZER = " in the step of an optimizer"
RESUMED_STEPS = 17
"""Enough for what happens every 16 steps."""
OWN_PARAMETERS = (
    "let optimizers() return the generator's optimizer, then the discriminator's, each with all parameters of its own "
    "network and no others."
)


@rule("let a recipe be possible settings, with one line that says for which data and what was measured.")
def recipes(fixture: ArchitectureFixture) -> None:
    """Every recipe's settings are valid, and a step with them has finite losses."""
    fixture = ArchitectureFixture(fixture.card, {})  # other settings may contradict a recipe
    for name, recipe in fixture.card.recipes.items():
        if not recipe.summary.strip() or "\n" in recipe.summary:
            raise CheckError(f"the summary of the recipe {name} is {recipe.summary!r}")
        configs.make(fixture.card.Config, recipe.settings)
        small = {"batch_size": BATCH, **fixture.card.check_settings}
        logs = fixture.step(fixture.state(**{**recipe.settings, **small}))
        bad = [log for log, value in logs.items() if not value.isfinite()]
        if bad:
            raise CheckError(f"with the recipe {name}, {', '.join(bad)} is not finite after a step")


@rule(OWN_PARAMETERS)
def generator_step(fixture: ArchitectureFixture) -> None:
    """An update of the generator, or of a further player, changes their networks and no others."""
    state = fixture.state()
    for player in state.players:
        if player != "discriminator":
            _check_player(fixture, state, player)


@rule(OWN_PARAMETERS)
def discriminator_step(fixture: ArchitectureFixture) -> None:
    """An update of the discriminator changes only the discriminator."""
    _check_player(fixture, fixture.state(), "discriminator")


@rule("use the layer in forward(), remove it, or freeze it with requires_grad_(False).")
def gradients(fixture: ArchitectureFixture) -> None:
    """Every trainable parameter receives a gradient."""
    state = fixture.state()
    gan = state.gan
    waiting = {name for name, parameter in gan.named_parameters() if parameter.requires_grad}
    gradients = _watch_gradients(state)
    for _ in range(3):  # layers inside blocks that start at zero get gradients later
        fixture.step(state)
        waiting -= _not_zero(gradients)
    gan.zero_grad()
    real, _ = fixture.batches(gan)(0)
    fixture.logits(gan, real).sum().backward()  # a Wasserstein loss does not depend on the last bias
    waiting -= _not_zero({name: p.grad for name, p in gan.named_parameters() if p.grad is not None})
    if waiting:
        raise CheckError(f"no gradient reaches {', '.join(sorted(waiting))}")


@rule("average losses over the batch, and let no image depend on another; otherwise list this check on the card.")
def accumulate(fixture: ArchitectureFixture) -> None:
    """Gradients accumulated over two parts of a batch equal those of the whole batch."""
    whole, parts = _gradients(fixture, 1), _gradients(fixture, 2)
    largest = max(gradient.norm() for gradient in whole.values())
    for name, gradient in whole.items():
        error = (parts[name] - gradient).norm() / torch.maximum(gradient.norm(), 1e-3 * largest)
        if not error < 1e-2:
            raise CheckError(f"with accumulate=2 the gradient of {name} differs by {error:.0%}")


@rule("use torch.where instead of `if`, tensors instead of .item(), and return values to log with the loss.")
def no_sync(fixture: ArchitectureFixture) -> None:
    """No step reads values back from the device, which would stall a GPU."""
    state = fixture.state()
    fixture.step(state)  # the first step may read values while it sets things up
    reads: list[str] = []
    with ReadingOperations(reads), ReadingMethods(reads):
        fixture.step(state)
    if reads and reads[0].endswith(OPTIMIZER):
        raise CheckError(
            f"a step reads values back: {reads[0]}", "pass fused=True or capturable=True to the optimizer."
        )
    if reads:
        raise CheckError(f"a step reads values back: {reads[0]}")


@rule("leave casting to the layers; if you mix dtypes yourself, cast with .to(x.dtype).")
def bf16(fixture: ArchitectureFixture) -> None:
    """Steps under bfloat16 autocast have finite losses."""
    state = fixture.state(precision="bf16")
    for _ in range(2):
        _check_finite(fixture.step(state))
    dtypes = {name: p.dtype for name, p in state.gan.named_parameters() if p.dtype != torch.float32}
    if dtypes:
        raise CheckError(f"after a step some parameters are not float32: {dtypes}")


@rule("support every loss and penalty of the Config, or narrow their Literal to the supported ones.")
def objectives(fixture: ArchitectureFixture) -> None:
    """Every combination of loss and penalty trains or is refused with a message."""
    for penalty in fixture.choices("penalty"):
        twins: dict[tuple[float, ...], str] = {}
        for loss in fixture.choices("loss"):
            settings: dict[str, Any] = {"loss": loss, "penalty": penalty, "batch_size": 4}
            try:
                state = fixture.state(**settings)
            except UsageError:
                continue
            logs = fixture.step(state)
            _check_finite(logs, f"with loss={loss} and penalty={penalty}, ")
            values = tuple(value.item() for name, value in logs.items() if name.endswith("_loss"))
            twin = twins.setdefault(values, loss)
            if twin != loss:
                raise CheckError(f"loss={twin} and loss={loss} give the same values, so one of them is ignored")


@rule(
    "store what training changes in parameters, buffers or state(), let the rest follow from step.step, and draw from "
    "the given rng or torch's global state."
)
def resume(fixture: ArchitectureFixture) -> None:
    """Steps after saving and resuming equal the same steps without interruption."""
    torch.manual_seed(3)
    state = fixture.state()
    for _ in range(3):
        fixture.step(state)
    with tempfile.TemporaryDirectory() as folder:
        path = state.save(Path(folder))
        expected = _after_steps(fixture, state)
        torch.manual_seed(4)
        state = fixture.state(seed=5)
        state.restore(path, checkpoint.read_state(path))
    for step, now in _after_steps(fixture, state).items():
        for name, value in now.items():
            if name not in expected[step] or not same_values(value, expected[step][name]):
                raise CheckError(f"{name} differs {'one step' if step == 1 else f'{step} steps'} after resuming")


@rule("log the same names in every step of a phase, detached scalars; what changes them belongs in phase(step).")
def logs(fixture: ArchitectureFixture) -> None:
    """Steps log scalars, under the same names as other steps of their phase."""
    for _, history in fixture.trained.values():
        names: dict[Hashable, list[str]] = {}
        for step, (phase, values) in enumerate(history):
            for name, value in values.items():
                if not isinstance(value, Tensor) or value.dim() or value.requires_grad:
                    raise CheckError(f"step {step} logs {name}, which is not a detached scalar")
            expected = names.setdefault(phase, list(values))
            changed = set(expected) ^ set(values)
            if changed:
                which = "step 0" if phase is None else f"an earlier step of the phase {phase!r}"
                raise CheckError(f"step {step} and {which} do not both log {', '.join(sorted(changed))}")


@rule("lower generator_lr and discriminator_lr, bound the loss, or initialise with smaller weights.")
def trains(fixture: ArchitectureFixture) -> None:
    """After twenty steps on digits or points, losses, weights and samples are finite."""
    for kind, (state, history) in fixture.trained.items():
        for _, values in history:
            _check_finite(values)
        if not state.weights_are_finite():
            raise CheckError(f"after {STEPS} steps some weights are not finite")
        gan = copy.deepcopy(state.gan).eval()
        samples = gan.generate(gan.latent(64), fixture.condition(gan, 64))
        if kind == "images" and not (samples.abs() <= 1).all():
            raise CheckError("the trained generator's images exceed -1..1", "end the generator with tanh.")
        fixture.sample(gan, 2, seed=0)


def _check_player(fixture: ArchitectureFixture, state: TrainingState, player: str) -> None:
    """Train until an update of this player, and check what it changes."""
    gan = state.gan
    _check_owned(state, player)
    seen: list[str] = []
    begin, end = state.select_players, state.update
    before: dict[str, Tensor] = {}

    def select(*players: str) -> Any:
        before.update(_copy(gan))
        return begin(*players)

    def update(*players: str) -> dict[str, Tensor]:
        norms = end(*players)
        if player in players and not seen:
            seen.append(player)
            _check_only_changed(player, [name for p in players for name in state.players[p].networks], gan, before)
        return norms

    state.select_players, state.update = select, update  # type: ignore[method-assign]
    for _ in range(STEPS):
        if not seen:
            fixture.step(state)
    if not seen:
        raise CheckError(f"no step of the first {STEPS} updates the {player}", "update every player, or leave it out.")


def _gradients(fixture: ArchitectureFixture, parts: int) -> dict[str, Tensor]:
    """The gradients of a step with learning rate 0, in eval mode: without dropout and batch statistics."""
    state = fixture.state(accumulate=parts)
    state.gan.eval()
    for player in state.players.values():
        for group in player.optimizer.param_groups:
            group["lr"] = 0.0
    gradients = _watch_gradients(state)
    fixture.step(state)
    return gradients


def _watch_gradients(state: TrainingState) -> dict[str, Tensor]:
    """A dict that collects the gradients that parameters are updated with."""
    gradients: dict[str, Tensor] = {}
    update = state.update

    def watched(*players: str) -> dict[str, Tensor]:
        own = {id(p) for name in players for p in state.parameters[name]}
        for name, parameter in state.gan.named_parameters():
            if id(parameter) in own and parameter.grad is not None:
                gradients[name] = parameter.grad.clone()
        return update(*players)

    state.update = watched  # type: ignore[method-assign]
    return gradients


def _not_zero(gradients: dict[str, Tensor]) -> set[str]:
    return {name for name, gradient in gradients.items() if gradient.any()}


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def _check_owned(state: TrainingState, part: str) -> None:
    player = state.players[part]
    own = tuple(f"{network}." for network in player.networks)
    parameters = {id(parameter) for group in player.optimizer.param_groups for parameter in group["params"]}
    for name, parameter in state.gan.named_parameters():
        if name.startswith(own) and parameter.requires_grad and id(parameter) not in parameters:
            raise CheckError(f"the {part}'s optimizer lacks {name}")
        if not name.startswith(own) and id(parameter) in parameters:
            raise CheckError(f"the {part}'s optimizer holds {name}")


def _check_only_changed(part: str, networks: list[str], gan: nn.Module, before: dict[str, Tensor]) -> None:
    changed = [name for name, parameter in gan.named_parameters() if not torch.equal(parameter, before[name])]
    others = [name for name in changed if not name.startswith(tuple(f"{network}." for network in networks))]
    if others:
        raise CheckError(f"a {part} step changes {', '.join(others)}")
    if not changed:
        raise CheckError(f"a {part} step does not change the {part}")


def _check_finite(logs: dict[str, Tensor], when: str = "") -> None:
    for name, value in logs.items():
        if not value.isfinite().all():
            raise CheckError(f"{when}{name} became {value.item()}")


def _after_steps(fixture: ArchitectureFixture, state: TrainingState) -> dict[int, dict[str, Any]]:
    """What `_everything` is after one more step, and after RESUMED_STEPS."""
    result = {}
    for step in range(1, RESUMED_STEPS + 1):
        fixture.step(state)
        if step in (1, RESUMED_STEPS):
            result[step] = _everything(state)
    return result


def _everything(state: TrainingState) -> dict[str, Any]:
    """Every tensor of a training state by name, and every value of `GAN.state`."""
    return _all_tensors(state) | {f"state()[{key!r}]": copy.deepcopy(v) for key, v in state.gan.state().items()}


def _all_tensors(state: TrainingState) -> dict[str, Tensor]:
    """Every tensor of a training state, by name."""
    tensors = dict(state.gan.state_dict())
    for network, average in state.averages.items():
        tensors |= {f"average.{network}.{name}": tensor for name, tensor in average.network.state_dict().items()}
    for name, player in state.players.items():
        for index, values in player.optimizer.state_dict()["state"].items():
            tensors |= {f"{name}_optimizer.{index}.{key}": torch.as_tensor(value) for key, value in values.items()}
    tensors["rng"] = state.rng.get_state()
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


class ReadingOperations(TorchDispatchMode):
    """Records operations for whose result Python waits."""

    SYNCHRONISING = (
        "_local_scalar_dense",
        "nonzero",
        "equal",
        "is_nonzero",
        "masked_select",
        "_unique2",
        "_assert_async",
    )

    def __init__(self, reads: list[str]):
        super().__init__()  # type: ignore[no-untyped-call]
        self.reads = reads

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.partition(".")[0]
        masked = name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in self.SYNCHRONISING or masked:
            stack = traceback.extract_stack()
            in_optimizer = any(frame.filename.startswith(OPTIMIZERS) for frame in stack)
            place = OPTIMIZER if in_optimizer else location(stack)
            self.reads.append(f"{'a boolean mask as index' if masked else name}{place}")
        return func(*args, **(kwargs or {}))


class ReadingMethods(TorchFunctionMode):
    """Records methods that copy to the host without a dispatched operation."""

    SYNCHRONISING = (Tensor.tolist, Tensor.numpy, Tensor.cpu, Tensor.__array__)

    def __init__(self, reads: list[str]):
        super().__init__()
        self.reads = reads

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.SYNCHRONISING:
            self.reads.append(f".{func.__name__}(){location(traceback.extract_stack())}")
        return func(*args, **(kwargs or {}))
