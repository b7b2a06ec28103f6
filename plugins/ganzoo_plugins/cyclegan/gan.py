"""The rules by which CycleGAN trains: Zhu et al. 2017, arXiv:1703.10593, sections 3 and 4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ganzoo.errors import UsageError
from ganzoo.gan import GAN, Condition, ImagePool, Logs, Player, StepContext
from ganzoo.nn import PatchDiscriminator
from ganzoo.plugin import DataSpec, Field
from ganzoo_plugins.cyclegan import CycleGANConfig
from ganzoo_plugins.cyclegan.networks import Translator


class CycleGame(GAN):
    """Two translators against a discriminator of each domain; what is translated there and back must be the same."""

    packs = False

    def __init__(self, config: CycleGANConfig, spec: DataSpec):
        check(config, spec)
        source, target = spec.inputs, spec.channels
        depth, sources = config.patch_halvings, DataSpec(target=spec.given["input"])
        discriminator = PatchDiscriminator(spec, config.width, depth, "instance")
        super().__init__(Translator(source, target, config), discriminator, config, spec)
        self.inverse = Translator(target, source, config)
        self.input_discriminator = PatchDiscriminator(sources, config.width, depth, "instance")
        self.pools = {"target": ImagePool(config.pool), "input": ImagePool(config.pool)}

    def players(self) -> dict[str, Player]:
        translators = nn.ModuleList([self.generator, self.inverse])
        judges = nn.ModuleList([self.discriminator, self.input_discriminator])
        generator = self.make_optimizer(translators, self.config.generator_lr)
        discriminator = self.make_optimizer(judges, self.config.discriminator_lr)
        return {
            "discriminator": Player(discriminator, ("discriminator", "input_discriminator")),
            "generator": Player(generator, ("generator", "inverse"), average=True),
        }

    def training_step(self, step: StepContext) -> Logs:
        """Both translators together, then both discriminators, whose objectives are halved: section 4."""
        batch, translated = step.batches(), []
        with step.update("generator") as update:
            for micro in batch:
                fake, fake_input = step.generate(micro), self.inverse(micro.real)
                update.backward(*self.translation_loss(micro.real, micro.condition, fake, fake_input))
                translated.append((fake.detach(), fake_input.detach()))
        with step.update("discriminator") as update:
            for micro, (fake, fake_input) in zip(batch, translated):
                fake = self.pools["target"].replace(fake, step.rng)
                fake_input = self.pools["input"].replace(fake_input, step.rng)
                loss, logs = self.judge(self.discriminator, micro.real, fake)
                input_loss, _ = self.judge(self.input_discriminator, micro.condition, fake_input)
                update.backward((loss + input_loss) / 2, logs)
        return step.logs

    def translation_loss(self, real: Tensor, inputs: Any, fake: Tensor, fake_input: Tensor) -> tuple[Tensor, Logs]:
        """The adversarial losses of both directions, the cycle loss, eq. 2, and the identity loss, section 5.2."""
        fooled = self.fool(self.discriminator, fake) + self.fool(self.input_discriminator, fake_input)
        cycle = distance(self.inverse(fake), inputs) + distance(self.generator(None, fake_input), real)
        loss, logs = fooled + self.config.cycle_weight * cycle, {"cycle": cycle.detach()}
        if self.config.identity_weight:
            identity = distance(self.generator(None, real), real) + distance(self.inverse(inputs), inputs)
            loss = loss + self.config.identity_weight * self.config.cycle_weight * identity
            logs["identity"] = identity.detach()
        return loss, logs

    def judge(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        on_real, on_fake = (discriminator(self.augment(images)).float() for images in (real, fake))
        return self.discriminator_objective(on_real, on_fake)

    def fool(self, discriminator: nn.Module, fake: Tensor) -> Tensor:
        return self.generator_objective(None, discriminator(self.augment(fake)).float())

    def generate(self, z: Tensor, condition: Condition = None) -> Tensor:
        if self.sampling is not None and self.sampling.direction == "back":
            images: Tensor = self.inverse(condition)
            return images
        return super().generate(z, condition)

    def state(self) -> dict[str, Any]:
        return {name: pool.state() for name, pool in self.pools.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        for name, pool in self.pools.items():
            pool.load_state(state[name], self.device)


def check(config: CycleGANConfig, spec: DataSpec) -> None:
    """UsageError for images that the networks cannot translate."""
    _, height, width = spec.shape
    if height % 4 or width % 4 or min(height, width) < 8:
        nearest = max(8, round(min(height, width) / 4) * 4)
        raise UsageError(
            f"Image size {height}x{width} cannot be halved twice: cyclegan needs sides of 8 or more pixels that are "
            f"multiples of 4. Set image_size={nearest} instead."
        )
    if config.identity_weight and spec.inputs != spec.channels:
        raise UsageError(
            f"The identity loss compares images of both domains, but the inputs have {_channels(spec.given['input'])} "
            f"and the targets {_channels(spec.target)}. Set identity_weight=0 instead."
        )


def distance(images: Tensor, originals: Tensor) -> Tensor:
    """The mean absolute difference, a scalar."""
    return (images.float() - originals).abs().mean()


def _channels(field: Field) -> str:
    return f"{field.shape[0]} channel{'s' if field.shape[0] > 1 else ''}"
