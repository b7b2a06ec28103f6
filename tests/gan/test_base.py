from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganzoo.core import plugin, registry
from ganzoo.core.config import make
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.gan import GAN
from ganzoo.losses import LOSSES


def build(name: str, spec: DataSpec, **overrides: Any) -> GAN:
    torch.manual_seed(0)
    card = registry.get_architecture(name).card
    gan: GAN = card.build(make(card.Config, {"width": 4, "latent_dim": 6, **overrides}), spec)
    for _ in range(20):  # running statistics as after training
        gan.generate(gan.latent(64), gan.class_labels(64))
    with torch.no_grad():
        list(gan.generator.parameters())[-1].mul_(20)  # images with contrast
    return gan


@pytest.fixture
def dcgan() -> GAN:
    return build("dcgan", DataSpec(3, 16))


@pytest.fixture
def cgan() -> GAN:
    return build("cgan", DataSpec(1, 8, 10), embedding=3)


class Recorder(nn.Module):
    """A generator whose images are filled with its noise or its label; records its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.noise: list[Tensor] = []
        self.labels: list[Tensor | None] = []

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.noise.append(z)
        self.labels.append(labels)
        shade = z[:, 0] / 4 if labels is None else labels / 10
        return (shade * self.scale)[:, None, None, None].expand(-1, 1, 2, 2)


class PixelSum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return images.flatten(1).sum(1) * self.scale


def recorder(classes: int = 0) -> tuple[GAN, Recorder]:
    generator = Recorder()
    config = make(plugin.Config, {"latent_dim": 3})
    return GAN(generator, PixelSum(), config, DataSpec(1, 2, classes)), generator


def test_samples_are_bytes_on_the_cpu(dcgan: GAN) -> None:
    images = dcgan.sample(5, seed=0)
    assert images.dtype == torch.uint8
    assert images.shape == (5, 3, 16, 16)
    assert images.device.type == "cpu"
    assert not images.requires_grad
    assert images.unique().numel() > 10


@pytest.mark.parametrize("count", [0, 1])
def test_few_samples(count: int, dcgan: GAN, cgan: GAN) -> None:
    assert dcgan.sample(count).shape == (count, 3, 16, 16)
    assert cgan.sample(count).shape == (count, 1, 8, 8)


def test_the_same_seed_gives_the_same_images(dcgan: GAN) -> None:
    assert torch.equal(dcgan.sample(4, seed=7), dcgan.sample(4, seed=7))
    assert not torch.equal(dcgan.sample(4, seed=7), dcgan.sample(4, seed=8))
    assert not torch.equal(dcgan.sample(4), dcgan.sample(4))


def test_sampling_does_not_change_the_global_random_state(dcgan: GAN) -> None:
    before = torch.get_rng_state()
    dcgan.sample(4, seed=7)
    dcgan.sample(4)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("training", [True, False])
def test_sampling_changes_neither_modes_nor_buffers(dcgan: GAN, training: bool) -> None:
    dcgan.train(training)
    before = {name: tensor.clone() for name, tensor in dcgan.state_dict().items()}
    dcgan.sample(4, seed=0)
    assert all(module.training is training for module in dcgan.modules())
    for name, tensor in dcgan.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_sampling_uses_the_running_statistics(dcgan: GAN) -> None:
    dcgan.train()
    in_training_mode = dcgan.sample(4, seed=0)
    dcgan.eval()
    assert torch.equal(in_training_mode, dcgan.sample(4, seed=0))


def test_modes_are_restored_when_the_generator_fails(cgan: GAN, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(z: Tensor, labels: Tensor | None = None) -> Tensor:
        raise RuntimeError("out of paint")

    monkeypatch.setattr(cgan.generator, "forward", fail)
    cgan.train()
    with pytest.raises(RuntimeError, match="out of paint"):
        cgan.sample(2)
    assert cgan.generator.training


@pytest.mark.parametrize("classes", [0, 10])
@pytest.mark.parametrize("chunk", [1, 3, 7, 8])
def test_chunks_change_neither_noise_nor_labels(chunk: int, classes: int) -> None:
    gan, generator = recorder(classes)
    whole = gan.sample(7, seed=0)
    pieces = gan.sample(7, seed=0, chunk=chunk)
    assert torch.equal(whole, pieces)
    assert torch.equal(torch.cat(generator.noise[1:]), generator.noise[0])
    assert [len(noise) for noise in generator.noise[1:]] == [min(chunk, 7 - start) for start in range(0, 7, chunk)]


def test_classes_alternate_unless_labels_are_given() -> None:
    gan, generator = recorder(classes=3)
    gan.sample(7)
    gan.sample(3, labels=[2, 2, 0])
    gan.sample(2, labels=torch.tensor([1, 0], dtype=torch.uint8))
    drawn = [labels.tolist() for labels in generator.labels if labels is not None]
    assert drawn == [[0, 1, 2, 0, 1, 2, 0], [2, 2, 0], [1, 0]]
    assert all(labels is not None and labels.dtype == torch.int64 for labels in generator.labels)


def test_labels_determine_the_class_of_each_sample(cgan: GAN) -> None:
    first, second = cgan.sample(2, labels=[3, 3], seed=0), cgan.sample(2, labels=[4, 3], seed=0)
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1], "Expected 3 labels, one per sample, but got 1"),
        ([0, 1, 2, 3], "but got 4"),
        ([0, 1, 10], r"Labels must lie in 0\.\.9"),
        ([0, -1, 2], r"Labels must lie in 0\.\.9"),
    ],
)
def test_wrong_labels_are_refused(labels: list[int], message: str, cgan: GAN) -> None:
    with pytest.raises(UsageError, match=message):
        cgan.sample(3, labels=labels)


def test_labels_for_an_unconditional_gan_are_refused(dcgan: GAN) -> None:
    with pytest.raises(UsageError, match="not conditional"):
        dcgan.sample(3, labels=[0, 1, 2])


def test_class_labels(cgan: GAN, dcgan: GAN) -> None:
    labels = cgan.class_labels(12)
    assert labels is not None
    assert labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert dcgan.class_labels(12) is None
    assert (cgan.conditional, dcgan.conditional) == (True, False)


def test_latent_is_standard_normal_noise_from_the_generator(dcgan: GAN) -> None:
    first, again = (dcgan.latent(4000, torch.Generator().manual_seed(0)) for _ in range(2))
    assert first.shape == (4000, 6)
    assert torch.equal(first, again)
    assert abs(first.mean()) < 0.03
    assert abs(first.std() - 1) < 0.03


def test_batch_norm_normalises_real_and_fake_images_separately(dcgan: GAN) -> None:
    real, fake = torch.rand(4, 3, 16, 16), -torch.rand(4, 3, 16, 16)
    separate = dcgan.discriminator(real).sigmoid().mean(), dcgan.discriminator(fake).sigmoid().mean()
    _, logs = dcgan.discriminator_loss(real, fake)
    torch.testing.assert_close((logs["d_real"], logs["d_fake"]), separate)


@pytest.mark.parametrize(
    ("architecture", "overrides", "terms"),
    [
        ("dcgan", {}, 2),
        ("dcgan", {"loss": "relativistic"}, 1),
        ("dcgan", {"discriminator_norm": "none", "penalty": "r1"}, 2),
        ("wgan", {"penalty": "gradient"}, 2),
        ("acgan", {}, 1),
    ],
)
def test_gradients_of_the_terms_add_up_to_that_of_the_loss(
    architecture: str, overrides: dict[str, Any], terms: int
) -> None:
    gan = build(architecture, DataSpec(1, 16, 10), **overrides)
    real, fake, labels = torch.rand(5, 1, 16, 16), -torch.rand(5, 1, 16, 16), torch.arange(5)
    parameters = list(gan.discriminator.parameters())
    value, logs = gan.discriminator_loss(real, fake, labels, torch.Generator().manual_seed(0))
    whole = torch.autograd.grad(value, parameters, allow_unused=True)
    gan.zero_grad()
    results = []
    for term, term_logs in gan.discriminator_losses(real, fake, labels, torch.Generator().manual_seed(0)):
        term.backward()
        results.append((term, term_logs))
    assert len(results) == terms
    torch.testing.assert_close(torch.stack([term for term, _ in results]).sum(), value)
    assert {name for _, term_logs in results for name in term_logs} == set(logs)
    for parameter, expected in zip(parameters, whole):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-6)


def test_an_overridden_loss_is_a_single_term() -> None:
    class Tripled(GAN):
        def discriminator_loss(self, *args: Any) -> Any:
            value, logs = super().discriminator_loss(*args)
            return 3 * value, logs

    gan, real, fake = build("dcgan", DataSpec(3, 16)), torch.rand(4, 3, 16, 16), -torch.rand(4, 3, 16, 16)
    expected = 3 * gan.discriminator_loss(real, fake)[0]
    gan.__class__ = Tripled
    ((value, _),) = gan.discriminator_losses(real, fake)
    torch.testing.assert_close(value, expected)


def test_overridden_logits_and_objectives_get_both_sides_despite_batch_norm() -> None:
    class OwnObjective(GAN):
        def discriminator_objective(self, on_real: Tensor | None, on_fake: Tensor | None) -> Any:
            assert on_real is not None
            assert on_fake is not None
            return on_real.sum() + 2 * on_fake.sum(), {}

    class OwnLogits(GAN):
        def logits(self, real: Tensor, fake: Tensor, condition: Tensor | None) -> Any:
            return torch.ones(4), torch.full((4,), 2.0)

    gan, real, fake = build("dcgan", DataSpec(3, 16)), torch.rand(4, 3, 16, 16), -torch.rand(4, 3, 16, 16)
    on_real, on_fake = gan.logits(real, fake, None)
    gan.__class__ = OwnObjective
    torch.testing.assert_close(gan.discriminator_loss(real, fake)[0], on_real.sum() + 2 * on_fake.sum())
    gan.__class__ = OwnLogits
    expected = LOSSES["nonsaturating"].discriminator(torch.ones(4), torch.full((4,), 2.0), gan.config.real_label)
    torch.testing.assert_close(gan.discriminator_loss(real, fake)[0], expected)


@pytest.mark.parametrize(
    ("loss", "probability"), [("nonsaturating", True), ("minimax", True), ("least_squares", False)]
)
def test_logs_are_probabilities_if_the_loss_defines_them(loss: str, probability: bool) -> None:
    gan = GAN(Recorder(), PixelSum(), make(plugin.Config, {"loss": loss}), DataSpec(1, 2))
    real, fake = torch.full((3, 1, 2, 2), 0.5), torch.full((3, 1, 2, 2), -0.25)
    _, logs = gan.discriminator_loss(real, fake)
    expected = torch.tensor([2.0, -1.0])
    if probability:
        expected = expected.sigmoid()
    torch.testing.assert_close(torch.stack([logs["d_real"], logs["d_fake"]]), expected)
    assert not any(value.requires_grad for value in logs.values())


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_the_discriminators_target_for_reals_is_the_setting(norm: str) -> None:
    gan = build("dcgan", DataSpec(1, 16), discriminator_norm=norm, real_label=0.7)
    real, fake = torch.rand(4, 1, 16, 16), -torch.rand(4, 1, 16, 16)
    logits = gan.logits(real, fake, None)
    smoothed, plain = (LOSSES["nonsaturating"].discriminator(*logits, label) for label in (0.7, 1.0))
    torch.testing.assert_close(gan.discriminator_loss(real, fake)[0], smoothed)
    assert not torch.isclose(smoothed, plain)


@pytest.mark.parametrize(("penalty", "expected"), [("r1", 2.0), ("r1r2", 4.0), ("gradient", 1.0)])
def test_the_penalty_is_added_with_its_weight(penalty: str, expected: float) -> None:
    real, fake = torch.rand(3, 1, 2, 2), torch.rand(3, 1, 2, 2)
    values = {}
    for weight in (0.0, 5.0):
        config = make(plugin.Config, {"loss": "wasserstein", "penalty": penalty, "penalty_weight": weight})
        gan = GAN(Recorder(), PixelSum(), config, DataSpec(1, 2))
        values[weight], logs = gan.discriminator_loss(real, fake)
        assert logs["penalty"].item() == pytest.approx(expected)
        assert not logs["penalty"].requires_grad
    assert (values[5.0] - values[0.0]).item() == pytest.approx(5 * expected, rel=1e-5)


def test_clipping_happens_with_penalty_clip_only() -> None:
    for overrides, expected in (({"loss": "wasserstein", "penalty": "clip", "clip": 0.25}, 0.25), ({}, 1.0)):
        gan = GAN(Recorder(), PixelSum(), make(plugin.Config, overrides), DataSpec(1, 2))
        gan.after_discriminator_step()
        assert gan.discriminator.scale.item() == expected
        assert gan.generator.scale.item() == 1


@dataclass(frozen=True, kw_only=True)
class TwoRates(plugin.Config):
    generator_lr: float = 1e-3
    discriminator_lr: float = 2e-3
    beta1: float = 0.1
    beta2: float = 0.2


@pytest.mark.parametrize(("optimizer", "kind"), [("adam", torch.optim.Adam), ("rmsprop", torch.optim.RMSprop)])
def test_optimizers_hold_one_network_each_with_its_own_rate(optimizer: str, kind: type[torch.optim.Optimizer]) -> None:
    gan = GAN(Recorder(), PixelSum(), make(TwoRates, {"optimizer": optimizer}), DataSpec(1, 2))
    for created, network, rate in zip(gan.optimizers(), (gan.generator, gan.discriminator), (1e-3, 2e-3)):
        assert isinstance(created, kind)
        (group,) = created.param_groups
        assert group["params"] == list(network.parameters())
        assert group["lr"] == rate
        if optimizer == "adam":
            assert group["betas"] == (0.1, 0.2)
