"""The cases of `ganzoo bench RUN`: the networks of a run, with the native kernels and in PyTorch's forms."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import torch
from ganzoo_benchmarks.cases import Case
from ganzoo_benchmarks.peers import CHANNELS_LAST, COMPILE, NATIVE, REFERENCE, Call
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from ganzoo.gan import GAN
from ganzoo.ops import use_backend
from ganzoo.training.batches import Batches
from ganzoo.training.loading import load
from ganzoo.training.loop import train_step
from ganzoo.training.malloc import freed_memory_kept
from ganzoo.training.session import Session
from ganzoo.training.state import TrainingState

FORMS = {
    NATIVE: ("auto", torch.channels_last, False),
    REFERENCE: ("reference", torch.contiguous_format, False),
    CHANNELS_LAST: ("reference", torch.channels_last, False),
    COMPILE: ("reference", torch.channels_last, True),
}
"""The contestants: backend of ganzoo.ops, memory format, and whether torch.compile compiles the networks."""


def cases(run: str) -> dict[str, Case]:
    """The cases of the run, by name: generation of one batch and of one image, and a training step.

    The weights are those of the newest checkpoint, the data are the run's, all on the CPU. Raises what loading and
    resuming the run raise.
    """
    session = Session.resume(run, {"device": "cpu"})
    weights, batches = load(run, "cpu").state_dict(), session.make_batches()

    def contestants(make: Callable[[TrainingState], Call]) -> dict[str, Callable[[], Call]]:
        return {name: functools.partial(_contestant, session, weights, make, *form) for name, form in FORMS.items()}

    def case(name: str, what: str, batch: int, make: Callable[[TrainingState], Call]) -> Case:
        return Case(name, f"{session.entry.name}, {what}", batch, lambda: contestants(make))

    batch = session.settings.batch_size
    names = {
        f"generator.{n}": case(f"generator.{n}", "generator", n, functools.partial(_generation, batches, n))
        for n in dict.fromkeys((batch, 1))
    }
    step = case("training-step", "training step", batch, lambda s: _training(batches, s))
    return names | {"training-step": dataclasses.replace(step, conditions=dict.fromkeys(FORMS, freed_memory_kept))}


def _contestant(
    session: Session,
    weights: dict[str, Tensor],
    make: Callable[[TrainingState], Call],
    backend: str,
    memory_format: torch.memory_format,
    compiled: bool,
) -> Call:
    gan: GAN = session.build()
    gan.load_state_dict(weights)
    gan = gan.to(memory_format=memory_format)  # type: ignore[call-overload]
    if compiled:
        for network in (gan.generator, gan.discriminator):
            network.compile()
    with use_backend(backend):
        call = make(TrainingState(gan, session.config.seed))

    def run() -> tuple[Tensor, ...]:
        with use_backend(backend):
            return call()

    return run


def _generation(batches: Batches, n: int, state: TrainingState) -> Call:
    gan = state.gan.eval()
    rng = torch.Generator().manual_seed(0)
    given = tree_map_only(Tensor, lambda t: t[:n], batches(0)[1])
    z, condition = gan.latent(n, rng), gan.condition(given, n, rng)

    def call() -> tuple[Tensor, ...]:
        with torch.no_grad():
            return (gan.generate(z, condition),)

    return call


def _training(batches: Batches, state: TrainingState) -> Call:
    state.gan.train()
    dropouts = [module for module in state.gan.modules() if isinstance(module, nn.Dropout)]

    def call() -> tuple[Tensor, ...]:
        for dropout in dropouts:  # none in the first step, whose result is compared: masks depend on the memory format
            dropout.train(state.step > 0)
        logs = train_step(state, batches)
        state.step += 1
        losses = [value for name, value in sorted(logs.items()) if name.endswith("_loss")]
        return (torch.stack([torch.as_tensor(loss).detach().float() for loss in losses]),)

    return call
