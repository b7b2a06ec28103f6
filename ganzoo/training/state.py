"""All that changes while training, in one place, so that saving and restoring it can be exact."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganzoo.errors import CheckpointError
from ganzoo.gan import GAN
from ganzoo.training import checkpoint
from ganzoo.training.ema import EMA

DTYPES = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class TrainingState:
    """A GAN in training: networks, their moving average, optimizers, random state, and how far it has come.

    `rng` draws the noise of the training, apart from torch's global state, which dropout and the like use; both are
    saved. `seconds` counts training time over all resumes.
    """

    def __init__(self, gan: GAN, seed: int, precision: str = "fp32", identity: dict[str, Any] | None = None):
        self.gan = gan
        self.identity = identity or {}
        self.trained_discriminator = [p for p in gan.discriminator.parameters() if p.requires_grad]
        self.device = gan.device
        self.ema = EMA(gan.generator, gan.config.ema_half_life)
        self.generator_optimizer, self.discriminator_optimizer = gan.optimizers()
        self.dtype = DTYPES[precision]
        scaled = precision == "fp16"  # half precision underflows on small gradients, bfloat16 does not
        self.generator_scaler = torch.amp.GradScaler(self.device.type, enabled=scaled)
        self.discriminator_scaler = torch.amp.GradScaler(self.device.type, enabled=scaled)
        self.rng = torch.Generator(self.device).manual_seed(seed)
        self.step = 0
        self.seconds = 0.0
        self.saved_step: int | None = None

    @property
    def images_seen(self) -> int:
        images: int = self.step * self.gan.config.discriminator_steps * self.gan.config.batch_size
        return images

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which networks run: mixed precision where it was asked for."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def train_discriminator(self, on: bool) -> None:
        """Let the discriminator's parameters collect gradients, or not; what a plugin froze stays frozen."""
        for parameter in self.trained_discriminator:
            parameter.requires_grad_(on)

    def finite(self) -> bool:
        """Whether every weight of the networks and of the moving average is a number."""
        tensors = (*self.gan.state_dict().values(), *self.ema.network.state_dict().values())
        return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())

    def update_generator(self, loss: Tensor) -> None:
        _update(self.generator_optimizer, self.generator_scaler, loss)

    def update_discriminator(self, loss: Tensor) -> None:
        _update(self.discriminator_optimizer, self.discriminator_scaler, loss)

    def save(self, directory: Path) -> Path:
        """Write a checkpoint into `directory`."""
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
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }
        path = checkpoint.save(directory, self.step, self.gan.state_dict(), self.ema.network.state_dict(), state)
        self.saved_step = self.step
        return path

    def restore(self, path: Path, state: dict[str, Any]) -> None:
        """Take over the checkpoint at `path`, whose state.pt holds `state`; CheckpointError where any part is amiss."""
        checkpoint.read_weights(path, "model", self.gan)
        checkpoint.read_weights(path, "ema", self.ema.network)
        try:
            self.generator_optimizer.load_state_dict(state["generator_optimizer"])
            self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
            self.generator_scaler.load_state_dict(state["generator_scaler"])
            self.discriminator_scaler.load_state_dict(state["discriminator_scaler"])
            self.rng.set_state(state["rng"])
            torch.set_rng_state(state["torch_rng"])
            if self.device.type == "cuda":
                torch.cuda.set_rng_state(state["cuda_rng"], self.device)
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
            self.saved_step = self.step
        except (KeyError, ValueError, TypeError, RuntimeError) as failure:
            raise CheckpointError(f"{path / 'state.pt'} does not fit this training: {failure}") from failure


def _update(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(scaler.scale(loss))
    scaler.step(optimizer)
    scaler.update()
