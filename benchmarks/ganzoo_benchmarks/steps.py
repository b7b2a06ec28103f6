"""The implementations compared on a training step: ganzoo's loop, and PyTorch's DCGAN tutorial in three forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ganzoo_benchmarks.networks import LATENT, SEED, Discriminator, Generator, plain, seeded
from ganzoo_benchmarks.peers import CHANNELS_LAST, COMPILE, NATIVE, NATIVE_FLOAT32, REFERENCE, Call
from torch import Tensor, nn

from ganzoo.core.plugin import Config
from ganzoo.core.spec import DataSpec
from ganzoo.data import ImageData
from ganzoo.gan import GAN
from ganzoo.ops import use_backend
from ganzoo.training.batches import Batches
from ganzoo.training.loop import train_step
from ganzoo.training.malloc import freed_memory_kept
from ganzoo.training.state import TrainingState

CONDITIONS = {NATIVE: freed_memory_kept, NATIVE_FLOAT32: freed_memory_kept}
"""ganzoo keeps freed memory during a training, as the contestants that train with it do; scripts do not."""


def contestants(batch: int, bfloat16: bool = False) -> dict[str, Callable[[], Call]]:
    """Builders by name of a step of both networks at 64 pixels; a call takes one step and returns its two losses.

    With `bfloat16` all but the reference and another one of ours run under autocast.

    All begin with the same weights, noise and images, which are in memory. ganzoo reads the images as uint8 and updates
    its moving average, as in any training; the scripts get them as floats, in their memory format.
    """
    noise = np.random.default_rng(SEED).integers(0, 256, (batch, 3, 64, 64), np.uint8)
    config = Config(batch_size=batch, latent_dim=LATENT, real_label=0.9)
    batches = Batches(ImageData(noise, None, (), "noise", "train", ""), batch, SEED, torch.device("cpu"))
    real, _ = batches(0)
    return {
        NATIVE: lambda: _ours(config, batches, "bf16" if bfloat16 else "fp32"),
        **({NATIVE_FLOAT32: lambda: _ours(config, batches, "fp32")} if bfloat16 else {}),
        REFERENCE: lambda: _script(config, real, torch.contiguous_format),
        CHANNELS_LAST: lambda: _script(config, real, torch.channels_last, bfloat16=bfloat16),
        COMPILE: lambda: _script(config, real, torch.channels_last, compiled=True, bfloat16=bfloat16),
    }


def _ours(config: Config, batches: Batches, precision: str) -> Call:
    generator, discriminator = seeded(Generator, Discriminator)
    gan: Any = GAN(generator, discriminator, config, DataSpec(3, 64))
    state = TrainingState(gan.to(memory_format=torch.channels_last), SEED, precision)

    def step() -> tuple[Tensor, ...]:
        with use_backend("auto"):
            signals = train_step(state, batches)
        state.step += 1
        return signals["discriminator_loss"], signals["generator_loss"]

    return step


def _script(
    config: Config, real: Tensor, memory_format: torch.memory_format, compiled: bool = False, bfloat16: bool = False
) -> Call:
    """A step of PyTorch's DCGAN tutorial, with logits instead of probabilities: separate losses, Adam by default."""
    networks = [plain(network).to(memory_format=memory_format) for network in seeded(Generator, Discriminator)]  # type: ignore[call-overload]
    betas = (config.beta1, config.beta2)
    generator_optimizer, discriminator_optimizer = (
        torch.optim.Adam(network.parameters(), config.generator_lr, betas) for network in networks
    )
    generator, discriminator = (torch.compile(n, fullgraph=True) for n in networks) if compiled else networks
    real = real.contiguous(memory_format=memory_format)
    is_real, smooth, is_fake = (
        torch.ones(len(real)),
        torch.full((len(real),), config.real_label),
        torch.zeros(len(real)),
    )
    criterion = nn.BCEWithLogitsLoss()
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=bfloat16)
    rng = torch.Generator().manual_seed(SEED)

    def step() -> tuple[Tensor, ...]:
        discriminator_optimizer.zero_grad()
        with autocast:
            logits = discriminator(real)
        on_real = criterion(logits.float(), smooth)
        on_real.backward()
        with autocast:
            fake = generator(torch.randn(len(real), config.latent_dim, generator=rng))
            logits = discriminator(fake.detach())
        on_fake = criterion(logits.float(), is_fake)
        on_fake.backward()
        discriminator_optimizer.step()

        generator_optimizer.zero_grad()
        with autocast:
            logits = discriminator(fake)
        generator_loss = criterion(logits.float(), is_real)
        generator_loss.backward()
        generator_optimizer.step()
        return (on_real + on_fake).detach(), generator_loss.detach()

    return step
