"""Checks of trainings: who learns in which step, what a step may do, and that a training can be stopped and resumed."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ganzoo.core.errors import UsageError
from ganzoo.gan import GAN
from ganzoo.testing.kit import CheckError, rule, where
from ganzoo.testing.subject import Subject
from ganzoo.training import checkpoint
from ganzoo.training.state import TrainingState

STEPS = 20


OWN_PARAMETERS = (
    "let each optimizer of optimizers() hold the parameters of its own network, all of them, and no others."
)


@rule(OWN_PARAMETERS)
def generator_step(subject: Subject) -> None:
    """A generator step changes the generator and nothing else."""
    state, gan, real, condition = _prepared(subject)
    _check_owned(state.generator_optimizer, "generator", gan)
    before = _copy(gan)
    state.select_network("generator")
    fake = gan.generate(gan.latent(len(real), state.rng), condition)
    state.backward_generator(gan.generator_loss(real, fake, condition)[0])
    state.update_generator()
    _only_moved("generator", gan, before)


@rule(OWN_PARAMETERS)
def discriminator_step(subject: Subject) -> None:
    """A discriminator step changes the discriminator and nothing else."""
    state, gan, real, condition = _prepared(subject)
    _check_owned(state.discriminator_optimizer, "discriminator", gan)
    before = _copy(gan)
    with torch.no_grad():
        fake = gan.generate(gan.latent(len(real), state.rng), condition)
    state.backward_discriminator(gan.discriminator_losses(real, fake, condition, state.rng))
    state.update_discriminator()
    gan.after_discriminator_step()
    _only_moved("discriminator", gan, before)


@rule("use the layer in forward(), remove it, or freeze it with requires_grad_(False).")
def gradients(subject: Subject) -> None:
    """A gradient reaches every parameter that is to be trained."""
    state = subject.state()
    gan = state.gan
    waiting = {name for name, parameter in gan.named_parameters() if parameter.requires_grad}
    gradients = _watch_gradients(gan)
    for _ in range(3):  # where blocks start as zero, those inside wait for their turn
        subject.step(state)
        waiting -= _not_zero(gradients)
    state.select_network("discriminator")
    real, given = subject.batches(gan)(0)
    gan.discriminator(
        real, gan.condition(given, len(real), state.rng)
    ).sum().backward()  # a Wasserstein critic's last bias drops out of its loss
    waiting -= _not_zero(gradients)
    if waiting:
        raise CheckError(f"no gradient reaches {', '.join(sorted(waiting))}")


@rule("let losses be means over the images of a batch, and no image look at another; else say so on the card.")
def accumulate(subject: Subject) -> None:
    """Gradients of a batch taken in two parts are those of the whole."""
    whole, parts = _gradients(subject, 1), _gradients(subject, 2)
    usual = max(gradient.norm() for gradient in whole.values())
    for name, gradient in whole.items():
        off = (parts[name] - gradient).norm() / torch.maximum(gradient.norm(), 1e-3 * usual)
        if not off < 1e-2:
            raise CheckError(f"with accumulate=2 the gradient of {name} is another, by {off:.0%}")


@rule("compute with tensors alone: torch.where for `if`, tensors for .item(), and log in the signals of a loss.")
def no_sync(subject: Subject) -> None:
    """No step reads values back from the device: a GPU would wait."""
    state = subject.state()
    subject.step(state)  # what is set up once may look at values
    found: list[str] = []
    with _ValuesRead(found), _MethodsCalled(found):
        subject.step(state)
    if found:
        raise CheckError(f"a step reads values back: {found[0]}")


@rule("let layers cast their inputs themselves; where you mix dtypes by hand, cast with .to(x.dtype).")
def bf16(subject: Subject) -> None:
    """Steps in bfloat16 autocast have finite losses."""
    state = subject.state(precision="bf16")
    for _ in range(2):
        _refuse_non_finite(subject.step(state))
    kept = {name: p.dtype for name, p in state.gan.named_parameters() if p.dtype != torch.float32}
    if kept:
        raise CheckError(f"after a step the dtypes are {kept}")


@rule("let the objective work with every loss and penalty of the Config, or narrow their Literal to those that do.")
def objectives(subject: Subject) -> None:
    """Every loss with every penalty trains, or is refused in words."""
    for penalty in subject.choices("penalty"):
        twins: dict[tuple[float, float], str] = {}
        for loss in subject.choices("loss"):
            chosen: dict[str, Any] = {"loss": loss, "penalty": penalty, "batch_size": 4}
            try:
                state = subject.state(**chosen)
            except UsageError:
                continue
            signals = subject.step(state)
            _refuse_non_finite(signals, f"with loss={loss} and penalty={penalty}, ")
            values = signals["discriminator_loss"].item(), signals["generator_loss"].item()
            twin = twins.setdefault(values, loss)
            if twin != loss:
                raise CheckError(f"loss={twin} and loss={loss} give the same values, so one is not what it says")


@rule("keep what changes while training in parameters and buffers, and draw from the given rng or torch's own state.")
def resume(subject: Subject) -> None:
    """Saved, read back and trained on equals never interrupted."""
    torch.manual_seed(3)
    state = subject.state()
    subject.step(state)
    with tempfile.TemporaryDirectory() as folder:
        path = state.save(Path(folder))
        subject.step(state)
        expected = _all(state)
        torch.manual_seed(4)
        state = subject.state(seed=5)
        state.restore(path, checkpoint.read_state(path))
    subject.step(state)
    for name, tensor in _all(state).items():
        if name not in expected or not torch.equal(tensor, expected[name]):
            raise CheckError(f"a step after resuming, {name} differs")


@rule("lower generator_lr and discriminator_lr, bound the loss, or initialise the weights smaller.")
def trains(subject: Subject) -> None:
    """Twenty steps on digits, or points, leave losses, weights and samples finite."""
    specs = {"images": subject.smallest, "points": subject.spec(2, 0)}
    for kind in subject.card.kinds:
        state = subject.state(spec=specs[kind])
        for _ in range(STEPS):
            _refuse_non_finite(subject.step(state))
        if not state.weights_are_finite():
            raise CheckError(f"after {STEPS} steps some weights are not finite")
        gan = state.gan.eval()
        made = gan.generate(gan.latent(64), subject.condition(gan, 64))
        if kind == "images" and not (made.abs() <= 1).all():
            raise CheckError("the trained generator's images leave -1..1", "end the generator with tanh.")
        subject.sample(gan, 2, seed=0)


def _prepared(subject: Subject) -> tuple[TrainingState, GAN, Tensor, Tensor | None]:
    """A training before its first step, its networks, and a batch of images with their condition."""
    state = subject.state()
    real, given = subject.batches(state.gan)(0)
    return state, state.gan, real, state.gan.condition(given, len(real), state.rng)


def _gradients(subject: Subject, parts: int) -> dict[str, Tensor]:
    """The gradients of a step from which nobody learns, in eval mode: no dropout, and no statistics of a batch."""
    state = subject.state(accumulate=parts)
    state.gan.eval()
    for optimizer in (state.generator_optimizer, state.discriminator_optimizer):
        for group in optimizer.param_groups:
            group["lr"] = 0.0
    gradients = _watch_gradients(state.gan)
    subject.step(state)
    return gradients


def _watch_gradients(network: GAN) -> dict[str, Tensor]:
    """By name, the gradient that each parameter got last in its own network's turn: the other's turn forgets it."""
    gradients: dict[str, Tensor] = {}
    of_discriminator = next(p for p in network.discriminator.parameters() if p.requires_grad)

    def note(name: str, parameter: Tensor) -> None:
        own_turn = name.startswith("discriminator.") == of_discriminator.requires_grad
        if own_turn and parameter.grad is not None:
            gradients[name] = parameter.grad.clone()

    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(partial(note, name))
    return gradients


def _not_zero(gradients: dict[str, Tensor]) -> set[str]:
    return {name for name, gradient in gradients.items() if gradient.any()}


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def _check_owned(optimizer: torch.optim.Optimizer, part: str, gan: GAN) -> None:
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in gan.named_parameters():
        if name.startswith(f"{part}.") and parameter.requires_grad and id(parameter) not in held:
            raise CheckError(f"the {part}'s optimizer lacks {name}")
        if not name.startswith(f"{part}.") and id(parameter) in held:
            raise CheckError(f"the {part}'s optimizer holds {name}")


def _only_moved(part: str, gan: nn.Module, before: dict[str, Tensor]) -> None:
    moved = [name for name, parameter in gan.named_parameters() if not torch.equal(parameter, before[name])]
    others = [name for name in moved if not name.startswith(f"{part}.")]
    if others:
        raise CheckError(f"a {part} step changes {', '.join(others)}")
    if not moved:
        raise CheckError(f"a {part} step does not change the {part}")


def _refuse_non_finite(signals: dict[str, Tensor], when: str = "") -> None:
    for name, value in signals.items():
        if not value.isfinite().all():
            raise CheckError(f"{when}{name} became {value.item()}")


def _all(state: TrainingState) -> dict[str, Tensor]:
    """Every tensor of a training by name."""
    tensors = {**state.gan.state_dict(), **{f"ema.{k}": v for k, v in state.ema.network.state_dict().items()}}
    for name in ("generator_optimizer", "discriminator_optimizer"):
        for index, values in getattr(state, name).state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{key}": torch.as_tensor(value) for key, value in values.items()}
    tensors["rng"] = state.rng.get_state()
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


class _ValuesRead(TorchDispatchMode):
    """Notes every operation whose result depends on values of a tensor in a way that Python waits for."""

    WAITING = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "_unique2", "_assert_async")

    def __init__(self, found: list[str]):
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.partition(".")[0]
        masked = name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in self.WAITING or masked:
            self.found.append(f"{'a boolean mask as index' if masked else name}{where(traceback.extract_stack())}")
        return func(*args, **(kwargs or {}))


class _MethodsCalled(TorchFunctionMode):
    """Notes the methods that copy to the host without an operation on the way."""

    WAITING = (Tensor.tolist, Tensor.numpy, Tensor.cpu, Tensor.__array__)

    def __init__(self, found: list[str]):
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.WAITING:
            self.found.append(f".{func.__name__}(){where(traceback.extract_stack())}")
        return func(*args, **(kwargs or {}))
