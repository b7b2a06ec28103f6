"""GAN: two networks and the rules of their game. What `Architecture.build` returns and the trainer trains."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.errors import UsageError
from ganzoo.losses import LOSSES, clip_weights, gradient_penalty, r1_penalty
from ganzoo.nn import uses_batch_statistics
from ganzoo.plugin import DataSpec
from ganzoo.representation import decode


class GAN(nn.Module):
    """A generator against a discriminator (a critic, where the loss says so).

    Args:
        generator: called as `generator(z, labels)`, z [N, latent_dim]; returns images [N, C, size, size] in [-1, 1], or
            points [N, C].
        discriminator: called as `discriminator(images, labels)`; returns logits [N], the higher the more real.
        config: the architecture's settings, a `ganzoo.plugin.Config`.
        spec: the images or points the networks were built for.

    `labels` is int64 [N] for a conditional architecture and None otherwise. Where images are spoken of, points [N, C]
    do as well. Plugins may override any method.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, config: Any, spec: DataSpec):
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.config = config
        self.spec = spec
        self.batch_statistics = uses_batch_statistics(discriminator)
        if config.penalty in ("gradient", "r1") and self.batch_statistics:
            raise UsageError(
                f"penalty={config.penalty} with batch norm in the discriminator: the penalty is on each image's own "
                "gradient, and batch norm mixes the images of a batch. Choose discriminator_norm=none, or penalty=none."
            )

    @property
    def device(self) -> torch.device:
        return next(self.generator.parameters()).device

    @property
    def conditional(self) -> bool:
        return self.spec.classes > 0

    def latent(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Noise z ~ N(0, 1), [n, latent_dim], on the GAN's device; `rng` is a generator of that device."""
        return torch.randn(n, self.config.latent_dim, device=self.device, generator=rng)

    def generate(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images in [-1, 1], [N, C, size, size], for noise z [N, latent_dim]."""
        images: Tensor = self.generator(z, labels)
        return images

    def discriminator_loss(
        self, real: Tensor, fake: Tensor, labels: Tensor | None = None, rng: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminator's loss, a scalar, with signals to log, detached scalars.

        `real` and `fake` are [N, C, size, size] of one batch and share `labels`. The signals `d_real` and `d_fake` are
        mean probabilities of "real" where the loss has them, else mean scores.
        """
        loss = LOSSES[self.config.loss]
        on_real, on_fake = self._logits(real, fake, labels)
        value = loss.discriminator(on_real, on_fake, self.config.real_label)
        signals = {"d_real": on_real.detach(), "d_fake": on_fake.detach()}
        if loss.probability:
            signals = {name: logits.sigmoid() for name, logits in signals.items()}
        signals = {name: scores.mean() for name, scores in signals.items()}
        if self.config.penalty in ("gradient", "r1"):
            penalty = self._penalty(real, fake, labels, rng)
            value = value + self.config.penalty_weight * penalty
            signals["penalty"] = penalty.detach()
        return value, signals

    def generator_loss(self, fake: Tensor, labels: Tensor | None = None) -> Tensor:
        """The generator's loss, a scalar, for images [N, C, size, size] it made."""
        return LOSSES[self.config.loss].generator(self.discriminator(fake, labels).float())

    def after_discriminator_step(self) -> None:
        """Runs after every optimizer step of the discriminator: clips its weights where penalty=clip."""
        if self.config.penalty == "clip":
            clip_weights(self.discriminator.parameters(), self.config.clip)

    def optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """The optimizers of generator and discriminator, in this order."""
        return (
            self._optimizer(self.generator, self.config.generator_lr),
            self._optimizer(self.discriminator, self.config.discriminator_lr),
        )

    @torch.no_grad()
    def sample(
        self, count: int, labels: Sequence[int] | Tensor | None = None, seed: int | None = None, chunk: int = 256
    ) -> Tensor:
        """`count` generated images, uint8 [count, C, size, size], or points, float32 [count, C]; on the CPU.

        `labels` (conditional only) are `count` class indices; without them the classes take turns. The same `seed`
        gives the same samples. The generator works in eval mode.
        """
        if count < 0:
            raise UsageError(f"Cannot draw {count} {self.spec.kind}.")
        labels = self._sample_labels(count, labels)
        rng = torch.Generator(self.device)
        if seed is None:
            rng.seed()
        else:
            rng.manual_seed(seed)
        z = self.latent(count, rng)
        with evaluating(self.generator):
            made = [
                decode(self.generate(z[i : i + chunk], None if labels is None else labels[i : i + chunk]), self.spec)
                for i in range(0, count, chunk)
            ]
        return torch.cat(made) if made else decode(torch.empty(0, *self.spec.shape), self.spec)

    def class_labels(self, count: int) -> Tensor | None:
        """Labels int64 [count] that take turns over the classes; None where the GAN is not conditional."""
        return torch.arange(count) % self.spec.classes if self.conditional else None

    def _sample_labels(self, count: int, labels: Sequence[int] | Tensor | None) -> Tensor | None:
        if labels is None:
            labels = self.class_labels(count)
        elif not self.conditional:
            raise UsageError("This GAN is not conditional: it takes no labels.")
        if labels is None:
            return None
        result = torch.as_tensor(labels, dtype=torch.int64)
        if result.shape != (count,):
            raise UsageError(f"Expected {count} labels, one for each sample, but got {result.numel()}.")
        if count and not (int(result.min()) >= 0 and int(result.max()) < self.spec.classes):
            raise UsageError(f"Labels must lie in 0..{self.spec.classes - 1}.")
        return result.to(self.device)

    def _logits(self, real: Tensor, fake: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.batch_statistics:  # real and fake keep statistics of their own (Radford et al. 2016 feed them apart)
            return self.discriminator(real, labels).float(), self.discriminator(fake, labels).float()
        both = None if labels is None else torch.cat([labels, labels])
        on_real, on_fake = self.discriminator(torch.cat([real, fake]), both).float().chunk(2)
        return on_real, on_fake

    def _penalty(self, real: Tensor, fake: Tensor, labels: Tensor | None, rng: torch.Generator | None) -> Tensor:
        def score(images: Tensor) -> Tensor:
            logits: Tensor = self.discriminator(images, labels)
            return logits

        if self.config.penalty == "r1":
            return r1_penalty(score, real)
        return gradient_penalty(score, real, fake, rng)

    def _optimizer(self, network: nn.Module, lr: float) -> torch.optim.Optimizer:
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if self.config.optimizer == "rmsprop":
            return torch.optim.RMSprop(trained, lr)
        return torch.optim.Adam(trained, lr, (self.config.beta1, self.config.beta2), fused=True)


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put `network` into eval mode, and every module of it back into its own mode afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
