"""GAN: two networks and the rules of their game. What `Architecture.build` returns and the trainer trains."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.data.normalization import decode, from_uint8
from ganzoo.losses import LOSSES, PENALTIES, clip_weights
from ganzoo.nn import uses_batch_statistics

Logs = dict[str, Tensor]
"""What is logged of a step: detached scalars by name."""


class GAN(nn.Module):
    """A generator against a discriminator (a critic, where the loss says so).

    Args:
        generator: called as `generator(z, condition)`, z [N, latent_dim]; returns images [N, C, size, size] in [-1, 1],
            or points [N, C].
        discriminator: called as `discriminator(images, condition)`; returns logits [N], the higher the more real, or
            [N, ...] where it judges patches of an image.
        config: the architecture's settings, a `ganzoo.core.plugin.Config`.
        spec: the images or points the networks were built for.

    `condition` is what the card asked for: labels, int64 [N], for a conditional architecture, input images
    [N, inputs, size, size] in [-1, 1] for a paired one, else None. Where images are spoken of, points [N, C] do as
    well. Plugins may override any method.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, config: Any, spec: DataSpec):
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.config = config
        self.spec = spec
        self.penalty_weight: float = config.penalty_weight  # of the present step: the trainer lets it fall
        self.batch_statistics = uses_batch_statistics(discriminator)
        if config.penalty in PENALTIES and self.batch_statistics:
            raise UsageError(
                f"penalty={config.penalty} with batch norm in the discriminator: the penalty is on each image's own "
                "gradient, and batch norm mixes the images of a batch. Choose discriminator_norm=none, or penalty=none."
            )

    @property
    def device(self) -> torch.device:
        return next(self.generator.parameters()).device

    @property
    def classes(self) -> int:
        """How many labels `sample` offers; 0 where it takes none."""
        return self.spec.classes

    @property
    def conditional(self) -> bool:
        return self.classes > 0

    @property
    def paired(self) -> bool:
        return self.spec.inputs > 0

    def latent(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Noise z ~ N(0, 1), [n, latent_dim], on the GAN's device; `rng` is a generator of that device."""
        return torch.randn(n, self.config.latent_dim, device=self.device, generator=rng)

    def condition(self, given: Tensor | None, n: int, rng: torch.Generator | None = None) -> Tensor | None:
        """What steers the networks for n images: what is `given`, by the data or by who samples.

        An architecture whose codes are drawn, as InfoGAN's, draws them here.
        """
        return given

    def generate(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images in [-1, 1], [N, C, size, size], for noise z [N, latent_dim]."""
        images: Tensor = self.generator(z, condition)
        return images

    def discriminator_loss(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None, rng: torch.Generator | None = None
    ) -> tuple[Tensor, Logs]:
        """The discriminator's loss, a scalar, with signals to log, detached scalars.

        `real` and `fake` are [N, C, size, size] of one batch and share the `condition`.
        """
        values, signals = zip(*self._terms(real, fake, condition, rng))
        return torch.stack(values).sum(), {name: value for some in signals for name, value in some.items()}

    def discriminator_losses(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None, rng: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Logs]]:
        """The same in terms that add up to it. The trainer sends each backward before it asks for the next.

        So the feature maps of reals need not be in memory with those of fakes, or of a penalty. A
        `discriminator_loss` of a GAN's own is one term.
        """
        if self._has_own("discriminator_loss"):
            yield self.discriminator_loss(real, fake, condition, rng)
        else:
            yield from self._terms(real, fake, condition, rng)

    def _terms(
        self, real: Tensor, fake: Tensor, condition: Tensor | None, rng: torch.Generator | None
    ) -> Iterator[tuple[Tensor, Logs]]:
        loss = LOSSES[self.config.loss]
        together = loss.relativistic or self._has_own("logits") or self._has_own("discriminator_objective")
        if self.batch_statistics and not together:
            yield self.discriminator_objective(self.discriminator(real, condition).float(), None)
            yield self.discriminator_objective(None, self.discriminator(fake, condition).float())
        else:
            yield self.discriminator_objective(*self.logits(real, fake, condition))
        penalty, signals = self.penalty(real, fake, condition, rng)
        if isinstance(penalty, Tensor):
            yield penalty, signals

    def _has_own(self, method: str) -> bool:
        """Whether a plugin has put a method of its own in the place of this one."""
        return getattr(getattr(self, method), "__func__", None) is not getattr(GAN, method)

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Logs]:
        """The generator's loss, a scalar, for the images `fake` it made, with signals to log, detached scalars.

        `real` and `fake` are [N, C, size, size] of one batch and share the `condition`.
        """
        if LOSSES[self.config.loss].relativistic:
            on_real, on_fake = self.logits(real, fake, condition)
            return self.generator_objective(on_real, on_fake), {}
        return self.generator_objective(None, self.discriminator(fake, condition).float()), {}

    def logits(self, real: Tensor, fake: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the discriminator says of real and of fake images that share the `condition`."""
        if self.batch_statistics:  # real and fake keep statistics of their own (Radford et al. 2016 feed them apart)
            return self.discriminator(real, condition).float(), self.discriminator(fake, condition).float()
        both = None if condition is None else torch.cat([condition, condition])
        on_real, on_fake = self.discriminator(torch.cat([real, fake]), both).float().chunk(2)
        return on_real, on_fake

    def discriminator_objective(self, on_real: Tensor | None, on_fake: Tensor | None) -> tuple[Tensor, Logs]:
        """The adversarial loss of these logits, and the signals `d_real` and `d_fake`.

        They are mean probabilities of "real" where the loss has them, else mean scores. Where one side is None, it is
        the other's term of the loss; a relativistic loss has no such terms.
        """
        loss = LOSSES[self.config.loss]
        value = loss.discriminator(on_real, on_fake, self.config.real_label)
        found = {"d_real": on_real, "d_fake": on_fake}
        scores = {name: logits.detach() for name, logits in found.items() if logits is not None}
        return value, {name: (x.sigmoid() if loss.probability else x).mean() for name, x in scores.items()}

    def generator_objective(self, on_real: Tensor | None, on_fake: Tensor) -> Tensor:
        """The adversarial loss of these logits; no loss but a relativistic one looks at those of reals."""
        loss = LOSSES[self.config.loss]
        return loss.generator(on_real, on_fake) if loss.relativistic else loss.generator(on_fake)

    def penalty(
        self, real: Tensor, fake: Tensor, condition: Tensor | None, rng: torch.Generator | None
    ) -> tuple[Tensor | float, Logs]:
        """What the setting `penalty` adds to the discriminator's loss, weight included, and the signal `penalty`."""
        if self.config.penalty not in PENALTIES:
            return 0.0, {}

        def score(images: Tensor) -> Tensor:
            logits: Tensor = self.discriminator(images, condition)
            return logits

        value = PENALTIES[self.config.penalty](score, real, fake, rng)
        return self.penalty_weight * value, {"penalty": value.detach()}

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
        self,
        count: int,
        labels: Sequence[int] | Tensor | None = None,
        seed: int | None = None,
        chunk: int = 256,
        inputs: Tensor | None = None,
    ) -> Tensor:
        """`count` generated images, uint8 [count, C, size, size], or points, float32 [count, C]; on the CPU.

        `labels` (conditional only) are `count` class indices; without them the classes take turns. `inputs` (paired
        only, and needed there) are the images to start from, uint8 [count, spec.inputs, size, size]. The same `seed`
        gives the same samples. The generator works in eval mode.
        """
        if count < 0:
            raise UsageError(f"Cannot draw {count} {self.spec.kind}.")
        given = self._sample_inputs(count, inputs) if self.paired else self._sample_labels(count, labels)
        if (self.paired and labels is not None) or (inputs is not None and not self.paired):
            kind, wanted = ("paired", "inputs and no labels") if self.paired else ("not paired", "no inputs")
            raise UsageError(f"This GAN is {kind}: it takes {wanted}.")
        rng = torch.Generator(self.device)
        if seed is None:
            rng.seed()
        else:
            rng.manual_seed(seed)
        z, condition = self.latent(count, rng), self.condition(given, count, rng)
        with evaluating(self.generator):
            made = [
                decode(
                    self.generate(z[i : i + chunk], None if condition is None else condition[i : i + chunk]), self.spec
                )
                for i in range(0, count, chunk)
            ]
        return torch.cat(made) if made else decode(torch.empty(0, *self.spec.shape), self.spec)

    def class_labels(self, count: int) -> Tensor | None:
        """Labels int64 [count] that take turns over the classes; None where the GAN is not conditional."""
        return torch.arange(count) % self.classes if self.conditional else None

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
        if count and not (int(result.min()) >= 0 and int(result.max()) < self.classes):
            raise UsageError(f"Labels must lie in 0..{self.classes - 1}.")
        return result.to(self.device)

    def _sample_inputs(self, count: int, inputs: Tensor | None) -> Tensor:
        shape = (count, self.spec.inputs, self.spec.size, self.spec.size)
        if inputs is None or inputs.dtype != torch.uint8 or inputs.shape != shape:
            got = "none" if inputs is None else f"{inputs.dtype} {list(inputs.shape)}".removeprefix("torch.")
            raise UsageError(f"This GAN is paired and needs inputs, uint8 {list(shape)}, but got {got}.")
        return from_uint8(inputs.to(self.device))

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
