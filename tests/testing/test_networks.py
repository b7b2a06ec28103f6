"""Checks of the networks find the mistakes they are meant for, and accept what is unusual and right."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.gan import GAN
from tests.testing.architectures import (
    Discriminator,
    Forgetful,
    Generator,
    Good,
    PackedDiscriminator,
    Peeking,
    Pretrained,
    Probability,
    Unbounded,
    assert_found,
    mistake,
    outcome,
)


class FixedSize(Generator):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, DataSpec(1, 8, spec.classes))


class Silent(Generator):
    def forward(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(z * 0, condition * 0)


class IgnoringGenerator(Generator):
    def forward(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(z, None)


class Unseeded(Generator):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        nn.init.normal_(self.layer.weight, generator=torch.Generator().manual_seed(torch.seed() % 1000))


class Tied(Generator):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        self.again = nn.Embedding(max(spec.classes, 1), 4)
        self.again.weight = self.embed.weight


class Strided(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        images = images.view(len(images), -1)
        return super().forward(images, condition)


class OneForAll(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(images, condition).mean()


class Evaluating(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super(Evaluating, self.eval()).forward(images, condition)


class Dividing(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(images, condition) / 0


class IgnoringDiscriminator(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(images, None)


class GlobalNoise(GAN):
    def latent(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        return torch.randn(n, self.config.latent_dim)


def build_from_one_seed(card: Good, config: Any, spec: DataSpec) -> GAN:
    torch.manual_seed(0)
    return Good.build(card, config, spec)


class Refusing(Good):
    words: ClassVar[str] = ""

    def build(self, config: Any, spec: DataSpec) -> GAN:
        if spec.size % 4:
            raise UsageError(self.words.format(spec.size))
        return super().build(config, spec)


class Modulated(Generator):
    """Conditioning that is the identity at first."""

    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        nn.init.zeros_(self.embed.weight)


class FixedLatent(Generator):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        self.layer = nn.Linear(104, spec.channels * spec.size**2)


class TenClasses(Generator):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        self.embed = nn.Embedding(10, 4)


class Double(Generator):
    def finish(self, pixels: Tensor) -> Tensor:
        return pixels.double().tanh()


class Positive(Generator):
    def finish(self, pixels: Tensor) -> Tensor:
        return pixels.sigmoid()


class WithFeatures(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Any:
        return super().forward(images, condition), images


class Row(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(images, condition)[None]


class OneNoiseForAll(GAN):
    def latent(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        return super().latent(1, rng).expand(n, -1)


MISTAKES = [
    mistake("shapes", FixedLatent, "with latent_dim=200: RuntimeError: mat1 and mat2 shapes"),
    mistake("shapes", TenClasses, "index out of range"),
    mistake("shapes", Double, "the generator returns torch.float64, expected a tensor of type float32"),
    mistake("shapes", WithFeatures, "the discriminator returns tuple, expected a tensor"),
    mistake("shapes", Row, "the discriminator returns [1, 4] for 4 images"),
    mistake("output_range", Positive, "none of the generator's pixels is below 0"),
    mistake("output_range", OneNoiseForAll, "32 identical images"),
    mistake("shapes", FixedSize, "the generator returns [4, 1, 8, 8], expected [4, 3, 16, 16]"),
    mistake("shapes", OneForAll, "the discriminator returns [] for 4 images"),
    mistake("output_range", Unbounded, "the generator's images range from -"),
    mistake("output_range", Silent, "32 identical images"),
    mistake("logits", Probability, "its values lie between 0 and 1"),
    mistake("logits", Dividing, "some logits are not finite"),
    mistake("condition", IgnoringGenerator, "different labels give the same images"),
    mistake("condition", IgnoringDiscriminator, "different labels for the same images give the same losses"),
    mistake("seed", Unseeded, "differs when built twice from the same seed"),
    mistake("seed", GlobalNoise, "sample(seed=0) draws from the global random state"),
    mistake("seed", Evaluating, "forward() changes the networks' train and eval modes"),
    mistake("safetensors", Forgetful, "the generator's images differ after loading"),
    mistake("safetensors", Tied, "share memory"),
    mistake("channels_last", Strided, "view size is not compatible"),
    mistake("compile", Peeking, "Data-dependent branching"),
    pytest.param("seed", {"build": build_from_one_seed}, "a different seed gives the same weights", id="seed-fixed"),
]


@pytest.mark.parametrize(("name", "attributes", "problem"), MISTAKES)
def test_each_mistake_is_found(name: str, attributes: dict[str, Any], problem: str) -> None:
    assert_found(name, attributes, problem)


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("condition", {"generator": Modulated}),
        ("condition", {"generator": IgnoringGenerator, "steers": ("discriminator",)}),
        ("condition", {"discriminator": IgnoringDiscriminator, "steers": ("generator",)}),
        ("shapes", {"discriminator": PackedDiscriminator}),
        ("logits", {"discriminator": PackedDiscriminator}),
        ("seed", {"discriminator": Pretrained}),
    ],
)
def test_what_is_unusual_and_right_passes(name: str, attributes: dict[str, Any]) -> None:
    result = outcome(type("Unusual", (Good,), attributes), name)
    assert result.status == "ok", result.error


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("no", "names no image_size that works"),
        ("{0} is not possible, set image_size=9", "proposes 9, which is refused as well"),
        ("{0} is not possible, set image_size=12", None),
    ],
)
def test_a_refusal_names_a_size_that_works(words: str, problem: str | None) -> None:
    result = outcome(type("Refusing", (Refusing,), {"words": words}), "impossible_size")
    if problem is None:
        assert result.status == "ok"
    else:
        assert problem in result.error.problem
