"""The rules by which FastGAN trains: Liu et al. 2021, arXiv:2101.04775, section 3, as in the authors' code."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.augmentations import uniform
from ganzoo.gan import GAN, Logs, StepContext
from ganzoo.nn import spectrally_normalise
from ganzoo_plugins.fastgan.networks import Discriminator, Generator, quarter

SOFTENING = 0.2
"""Logits are compared with margins between 1 - this and 1."""


class SelfSupervisedGAN(GAN):
    """A GAN whose generator makes its images in two sizes, and whose discriminator also reconstructs real ones.

    Reconstructions are compared by their mean absolute difference. The authors compare features of a VGG network, whose
    weights would have to be downloaded.
    """

    packs = False

    generator: Generator
    discriminator: Discriminator

    def apply_spectral_norm(self) -> None:
        """As the setting says, although the discriminator has batch norm: so it was published."""
        for name in ("generator", "discriminator"):
            if self.config.spectral_norm in (name, "both"):
                spectrally_normalise(getattr(self, name))

    def training_step(self, step: StepContext) -> Logs:
        """As `GAN.training_step`, with the generator's small images beside the large ones."""
        for k in range(self.config.discriminator_steps):
            batch = step.batches(k)
            with step.update("discriminator") as update:
                for micro in batch:
                    made = self.generator.both(micro.z)
                    update.backward(*self.learn_real(micro.real))
                    update.backward(*self.learn_fake(*(images.detach() for images in made)))
        with step.update("generator") as update:
            for micro in batch:
                if len(batch) > 1:  # the graphs of many microbatches would have cost their memory
                    made = self.generator.both(micro.z)
                update.backward(self.generator_objective(None, self.judge(*made)))
                for loss, logs in self.regularisers.generator(self, micro):
                    update.backward(loss, logs)
        return step.logs

    def learn_real(self, real: Tensor) -> tuple[Tensor, Logs]:
        """The discriminator's loss of real images: the adversarial one and that of its reconstructions, eq. 4."""
        real = self.augment(real)
        features = self.discriminator.features(real)
        logits = self.discriminator.judge(features).float()
        value, logs = self.discriminator_objective(logits + self.softening(logits), None)
        if not self.config.reconstruction:
            return value, logs
        place = torch.rand(2, device=real.device, generator=self.step_context.rng) < 0.5
        difference = torch.zeros((), device=real.device)
        for name, image in self.discriminator.reconstruct(features, place).items():
            original = quarter(real, place) if name == "quarter" else real
            difference = difference + (image.float() - F.interpolate(original, image.shape[2:])).abs().mean()
        return value + self.config.reconstruction * difference, {**logs, "reconstruction": difference.detach()}

    def learn_fake(self, fake: Tensor, small: Tensor) -> tuple[Tensor, Logs]:
        """The discriminator's loss of generated images in both sizes."""
        logits = self.judge(fake, small)
        return self.discriminator_objective(None, logits - self.softening(logits))

    def judge(self, fake: Tensor, small: Tensor) -> Tensor:
        logits: Tensor = self.discriminator(self.augment(fake), None, self.augment(small)).float()
        return logits

    def softening(self, logits: Tensor) -> Tensor:
        """Random reductions of the hinge's margin, one for each of the `logits` [N, L]; same shape, 0 to SOFTENING."""
        return SOFTENING * uniform(logits, logits.shape[1], rng=self.step_context.rng)
