"""The networks and the objective of Ledig et al. 2017, arXiv:1609.04802, for images of any size."""

from __future__ import annotations

from torch import Tensor, nn

from ganzoo.errors import UsageError
from ganzoo.gan import GAN, Logs, StepContext
from ganzoo.plugin import DataSpec
from ganzoo_plugins.srgan import SRGANConfig


class SuperResolution(GAN):
    """The squared difference from the true image, plus a little of the adversarial loss: eqs. 3 and 4.

    This is the paper's SRGAN-MSE; its other content loss compares features of a VGG network with weights of ImageNet.
    """

    def training_step(self, step: StepContext) -> Logs:
        """As `GAN.training_step`; with adversarial_weight=0 nothing but the generator's content loss."""
        if self.config.adversarial_weight:
            return super().training_step(step)
        with step.update("generator") as update:
            for micro in step.batches():
                update.backward(*self.generator_loss(micro.real, step.generate(micro), micro.condition))
                for loss, logs in self.regularisers.generator(self, micro):
                    update.backward(loss, logs)
        return step.logs

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Logs]:
        content = (fake.float() - real).square().mean()
        if not self.config.adversarial_weight:
            return content, {"content": content.detach()}
        adversarial, logs = super().generator_loss(real, fake, condition)
        return content + self.config.adversarial_weight * adversarial, {**logs, "content": content.detach()}


class Generator(nn.Module):
    """Input images [N, C', h, w] -> images [N, C, H, W], H / h = W / w a power of 2: figure 4. The noise is not used.

    As in the widely used implementation whose parameters are counted in reference_networks.json, each doubling has a
    batch norm.
    """

    def __init__(self, config: SRGANConfig, spec: DataSpec):
        super().__init__()
        width, doublings = config.width, scale(spec)
        self.first = nn.Sequential(nn.Conv2d(spec.given["input"].shape[0], width, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(config.blocks)))
        self.middle = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))
        self.larger = nn.Sequential(*(layer for _ in range(doublings) for layer in _doubling(width)))
        self.last = nn.Sequential(nn.Conv2d(width, spec.channels, 9, padding=4), nn.Tanh())

    def forward(self, z: Tensor, inputs: Tensor) -> Tensor:
        maps = self.first(inputs)
        images: Tensor = self.last(self.larger(maps + self.middle(self.blocks(maps))))
        return images


class ResidualBlock(nn.Module):
    """x + f(x): two 3x3 convolutions with batch norm, [N, width, H, W] -> the same."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.PReLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width),
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        result: Tensor = maps + self.layers(maps)
        return result


class Discriminator(nn.Module):
    """Images [N, C, H, W] -> logits of patches [N, H / 16, W / 16], rounded up. It does not see the input."""

    def __init__(self, config: SRGANConfig, spec: DataSpec):
        super().__init__()
        widths = [config.width << stage for stage in range(4)]
        layers: list[nn.Module] = []
        for outer, inner in zip([spec.channels, *widths], widths):
            norm = [nn.BatchNorm2d(inner)] if layers else []  # none in the first layer
            layers += [nn.Conv2d(outer, inner, 3, padding=1), *norm, nn.LeakyReLU(0.2)]
            layers += [nn.Conv2d(inner, inner, 3, 2, 1), nn.BatchNorm2d(inner), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        logits: Tensor = self.layers(images).squeeze(1)
        return logits


def scale(spec: DataSpec) -> int:
    """How often the inputs are doubled to become the images. UsageError if that is no whole number, or 0."""
    small, large = spec.given["input"], spec.target
    factor = large.shape[1] // small.shape[1]
    doublings = factor.bit_length() - 1
    if factor < 2 or tuple(side << doublings for side in small.shape[1:]) != large.shape[1:]:
        raise UsageError(
            f"srgan enlarges images 2, 4, 8, ... times, but the inputs are {small} and the images they become {large}. "
            "Choose pairs with smaller inputs, such as pairs:input_size=8x8:FOLDER,FOLDER with images of 32x32."
        )
    return doublings


def _doubling(width: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(width, 4 * width, 3, padding=1), nn.BatchNorm2d(4 * width), nn.PixelShuffle(2), nn.PReLU()
