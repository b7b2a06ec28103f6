"""Everything that changes during training, in one place, so that saving and restoring it can be exact."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ganzoo.core import distributed
from ganzoo.core.errors import CheckpointError
from ganzoo.gan import GAN, Logs
from ganzoo.training import checkpoint
from ganzoo.training.ema import EMA
from ganzoo.training.optimizer_state import checked_rng_state, restore_optimizer, restore_scaler, stepped_optimizers

DTYPES = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class TrainingState:
    """A GAN in training: networks, their moving average, optimizers, random state, step and time.

    `rng` draws the noise of the training, separately from torch's global state, which dropout and the like use; both
    are saved, the global state for every rank. `seconds` is the training time over all resumes. `all_finite` is true
    until a gradient is not finite; from then on no update changes a weight.
    """

    def __init__(self, gan: GAN, seed: int, precision: str = "fp32", identity: dict[str, Any] | None = None):
        self.gan = gan
        self.seed = seed
        self.identity = identity or {}
        self.discriminator_parameters = [p for p in gan.discriminator.parameters() if p.requires_grad]
        self.device = gan.device
        self.ema = EMA(gan.generator, gan.config.ema_half_life)
        self.generator_optimizer, self.discriminator_optimizer = gan.optimizers()
        self.dtype = DTYPES[precision]
        scaled = precision == "fp16"  # half precision underflows on small gradients, bfloat16 does not
        self.generator_scaler = torch.amp.GradScaler(self.device.type, enabled=scaled)
        self.discriminator_scaler = torch.amp.GradScaler(self.device.type, enabled=scaled)
        self.rng = torch.Generator(self.device).manual_seed(seed)
        self.all_finite = torch.ones((), dtype=torch.bool, device=self.device)
        self.step = 0
        self.seconds = 0.0
        self.saved_step: int | None = None
        self.seed_rank()

    @property
    def images_seen(self) -> int:
        images: int = self.step * self.gan.config.discriminator_steps * self.gan.config.batch_size
        return images

    def seed_rank(self) -> None:
        """Seed torch's global random state differently on every rank; rank 0 of a new training keeps its state."""
        if distributed.rank() or self.step:
            seed = np.random.SeedSequence([self.seed, distributed.rank(), self.step]).generate_state(1, np.uint64)
            torch.manual_seed(int(seed[0]) >> 1)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which networks run: mixed precision if the training uses it."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    @contextlib.contextmanager
    def average(self) -> Iterator[None]:
        """While entered, the GAN's generator is the moving average."""
        trained, self.gan.generator = self.gan.generator, self.ema.network
        try:
            yield
        finally:
            self.gan.generator = trained

    def apply_schedules(self) -> None:
        """Set learning rates and penalty weight for this step; they depend on the number of images seen alone."""
        config = self.gan.config
        if config.penalty_half_life:
            self.gan.penalty_weight = config.penalty_weight * 0.5 ** (self.images_seen / config.penalty_half_life)
        if config.lr_half_life:
            for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
                for group in optimizer.param_groups:
                    initial = group.setdefault("initial_lr", group["lr"])
                    group["lr"] = initial * 0.5 ** (self.images_seen / config.lr_half_life)

    def select_network(self, name: Literal["generator", "discriminator"]) -> None:
        """Clear all gradients; in the generator's turn the discriminator's parameters collect none.

        Parameters that a plugin froze stay frozen in either turn.
        """
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        self.generator_optimizer.zero_grad(set_to_none=True)
        for parameter in self.discriminator_parameters:
            parameter.requires_grad_(name == "discriminator")

    def weights_are_finite(self) -> bool:
        """Whether every weight of the networks and of the moving average is finite."""
        tensors = (*self.gan.state_dict().values(), *self.ema.network.state_dict().values())
        return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())

    def backward_generator(self, loss: Tensor) -> Logs:
        """Add the gradients of `loss`, a mean over one microbatch. Returns the loss as a log."""
        return {"generator_loss": self._backward(self.generator_scaler, loss)}

    def backward_discriminator(self, losses: Iterator[tuple[Tensor, Logs]]) -> Logs:
        """The same for the discriminator's loss, term by term: each goes backward before the next is computed.

        Returns the sum of the terms as a log, and the logs of the terms.
        """
        values: list[Tensor] = []
        logs: Logs = {}
        while True:
            with self.autocast():
                term = next(losses, None)
            if term is None:
                return {"discriminator_loss": torch.stack(values).sum(), **logs}
            loss, term_logs = term
            values.append(self._backward(self.discriminator_scaler, loss))
            logs |= term_logs

    def update_generator(self) -> Logs:
        """One step of the generator's optimizer along the gradients it has. Returns the log of `_update`."""
        return self._update("generator", self.generator_optimizer, self.generator_scaler)

    def update_discriminator(self) -> Logs:
        """The same for the discriminator."""
        return self._update("discriminator", self.discriminator_optimizer, self.discriminator_scaler)

    def _backward(self, scaler: torch.amp.GradScaler, loss: Tensor) -> Tensor:
        parts = self.gan.config.accumulate
        torch.autograd.backward(scaler.scale(loss if parts == 1 else loss / parts))
        return loss.detach()

    def _update(self, name: str, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> Logs:
        """Step, unless a gradient was ever not finite. The device decides, so that the CPU need not wait for it.

        The log is the norm of the gradients, NaN if the step was skipped. With fp16 there is no log: overflowing
        gradients are normal there, and the scaler skips their steps.
        """
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        distributed.all_reduce_mean(gradients)
        if scaler.is_enabled():
            scaler.step(optimizer)
            scaler.update()
            return {}
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        self.all_finite.logical_and_(norm.isfinite())
        _step(optimizer, gradients, self.all_finite)
        return {f"{name}_gradient": torch.where(self.all_finite, norm, torch.nan)}

    def save(self, directory: Path) -> Path:
        """Write a checkpoint into `directory` (rank 0 does) and return its path."""
        torch_rng = distributed.all_gather(torch.get_rng_state())
        cuda_rng = distributed.all_gather(torch.cuda.get_rng_state(self.device)) if self.device.type == "cuda" else None
        if distributed.rank() > 0:
            return checkpoint.path_of(directory, self.step)
        state = {
            "identity": self.identity,
            "threads": torch.get_num_threads(),
            "step": self.step,
            "seconds": self.seconds,
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "generator_scaler": self.generator_scaler.state_dict(),
            "discriminator_scaler": self.discriminator_scaler.state_dict(),
            "rng": self.rng.get_state(),
            "torch_rng": torch_rng,
            "cuda_rng": cuda_rng,
        }
        return checkpoint.save(directory, self.step, self.gan.state_dict(), self.ema.network.state_dict(), state)

    def restore(self, path: Path, state: dict[str, Any]) -> None:
        """Restore the checkpoint at `path`, whose state.pt holds `state`. CheckpointError if any part does not fit."""
        stepped = stepped_optimizers(self.gan)  # before the weights are read, which it may change
        checkpoint.read_weights(path, "model", self.gan)
        checkpoint.read_weights(path, "ema", self.ema.network)
        part = "state"
        try:
            for network, like in zip(("generator", "discriminator"), stepped):
                part = f"{network}_optimizer"
                restore_optimizer(getattr(self, part), like, state[part])
                part = f"{network}_scaler"
                restore_scaler(getattr(self, part), state[part])
            part = "step"
            self.step, self.seconds = state["step"], float(state["seconds"])
            if checkpoint.path_of(path.parent, self.step) != path:
                raise ValueError(f"it is {self.step}")
            self.saved_step = self.step
            part = "rng"
            self.rng.set_state(checked_rng_state(state["rng"], self.rng.get_state()))
            part = "torch_rng"
            if not isinstance(state["torch_rng"], list):
                raise TypeError("it was written before ganzoo supported ranks")
            if len(state["torch_rng"]) != distributed.size():
                return self.seed_rank()
            torch.set_rng_state(checked_rng_state(state["torch_rng"][distributed.rank()], torch.get_rng_state()))
            part = "cuda_rng"
            if self.device.type == "cuda":
                saved = state["cuda_rng"][distributed.rank()]
                torch.cuda.set_rng_state(checked_rng_state(saved, torch.cuda.get_rng_state(self.device)), self.device)
        except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as failure:
            what = "it is missing" if isinstance(failure, KeyError) else failure
            raise CheckpointError(f"{path / 'state.pt'} does not fit this training: {part}: {what}") from failure


def _step(optimizer: Any, gradients: list[Tensor], all_finite: Tensor) -> None:
    """A step of `optimizer` that leaves the weights unchanged if `all_finite` is false."""
    if getattr(optimizer, "_step_supports_amp_scaling", False):  # fused optimizers check found_inf themselves
        optimizer.found_inf = (~all_finite).float()
        optimizer.step()
        del optimizer.found_inf
    else:
        for gradient in gradients:
            gradient.copy_(torch.where(all_finite, gradient, 0))
        optimizer.step()
