"""cyclegan, srgan, wavegan, pix2pix and bigan follow the definitions of their papers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ganzoo.core import registry
from ganzoo.core.config import make
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec, Field
from ganzoo.gan import GAN, ImagePool
from ganzoo.nn import PatchDiscriminator
from ganzoo.testing.fixtures import ArchitectureFixture


def build(name: str, spec: DataSpec, **settings: Any) -> GAN:
    card = registry.get_architecture(name).card
    torch.manual_seed(0)
    gan: GAN = card.build(make(card.Config, {**card.check_settings, **settings}), spec)
    return gan


def images(*shape: int) -> Field:
    return Field("images", shape)


def pair(inputs: Field, target: Field) -> DataSpec:
    return DataSpec(target=target, given={"input": inputs})


def test_the_pool_returns_new_images_until_it_is_full_and_then_exchanges_half_of_them() -> None:
    pool, rng = ImagePool(50), torch.Generator().manual_seed(0)
    first = torch.arange(50.0).view(-1, 1, 1, 1)
    assert torch.equal(pool.replace(first, rng), first)
    returned = torch.cat([pool.replace(torch.full((1, 1, 1, 1), 100.0 + i), rng) for i in range(400)]).flatten()
    new = returned == 100.0 + torch.arange(400)
    assert 0.42 < new.float().mean() < 0.58
    kept = torch.cat([pool.state()["images"].flatten(), returned])
    assert sorted(kept.tolist()) == [*map(float, range(50)), *(100.0 + i for i in range(400))]  # nothing is lost
    again = ImagePool(50)
    again.load_state(pool.state(), torch.device("cpu"))
    assert again.filled == 50


def test_a_pool_smaller_than_the_batch_and_no_pool() -> None:
    rng, batch = torch.Generator().manual_seed(0), torch.randn(16, 1, 2, 2)
    assert ImagePool(5).replace(batch, rng).shape == batch.shape
    assert ImagePool(0).replace(batch, rng) is batch


def test_cyclegan_adds_cycle_and_identity_losses_with_their_weights() -> None:
    gan = build("cyclegan", pair(images(1, 16, 16), images(1, 16, 16)))
    real, inputs = torch.rand(2, 2, 1, 16, 16) * 2 - 1
    fake, fake_input = gan.generator(None, inputs), gan.inverse(real)
    loss, logs = gan.translation_loss(real, inputs, fake, fake_input)
    fooled = gan.fool(gan.discriminator, fake) + gan.fool(gan.input_discriminator, fake_input)  # type: ignore[operator]
    torch.testing.assert_close(loss, fooled + 10 * logs["cycle"] + 0.5 * 10 * logs["identity"])
    cycle = (gan.inverse(fake) - inputs).abs().mean() + (gan.generator(None, fake_input) - real).abs().mean()
    torch.testing.assert_close(logs["cycle"], cycle)


def test_the_identity_loss_needs_images_of_the_same_channels() -> None:
    with pytest.raises(UsageError, match=r"inputs have 3 channels and the targets 1 channel. Set identity_weight=0"):
        build("cyclegan", pair(images(3, 16, 16), images(1, 16, 16)))
    build("cyclegan", pair(images(3, 16, 16), images(1, 16, 16)), identity_weight=0)


def test_three_halvings_see_patches_of_70_pixels() -> None:
    network = PatchDiscriminator(DataSpec(1, 128), 4, 3, "none")
    pixels = torch.randn(1, 1, 128, 128, requires_grad=True)
    logits = network(pixels)
    assert logits.shape == (1, 14, 14)
    logits[0, 7, 7].backward()
    seen = pixels.grad.abs()[0, 0] > 0  # type: ignore[union-attr]
    assert (int(seen.any(0).sum()), int(seen.any(1).sum())) == (70, 70)


@pytest.mark.parametrize(("height", "width"), [(256, 256), (28, 28), (6, 4), (64, 32), (12, 20)])
def test_pix2pix_keeps_the_size_and_has_dropout_in_at_most_three_stages(height: int, width: int) -> None:
    with torch.device("meta"):
        gan = build("pix2pix", pair(images(3, height, width), images(1, height, width)), width=2)
        result = gan.generate(torch.zeros(2, 1), torch.zeros(2, 3, height, width))
    assert result.shape == (2, 1, height, width)
    dropped = [stage for stage, layer in enumerate(gan.generator.dropout) if layer.p]  # type: ignore[arg-type]
    assert dropped == ([1, 2, 3] if height == 256 else dropped[:3])


@pytest.mark.parametrize("factor", [2, 4])
def test_srgan_enlarges_by_powers_of_two(factor: int) -> None:
    gan = build("srgan", pair(images(3, 8, 6), images(3, 8 * factor, 6 * factor)))
    assert gan.generate(gan.latent(2), torch.rand(2, 3, 8, 6)).shape == (2, 3, 8 * factor, 6 * factor)


@pytest.mark.parametrize("large", [(8, 8), (24, 24), (16, 8), (4, 4)])
def test_srgan_refuses_other_factors(large: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="enlarges images 2, 4, 8"):
        build("srgan", pair(images(1, 8, 8), images(1, *large)))


def test_srgan_with_its_content_loss_alone_trains_no_discriminator() -> None:
    fixture = ArchitectureFixture(registry.get_architecture("srgan").card, {"adversarial_weight": 0, "batch_size": 4})
    state = fixture.state()
    before = [parameter.clone() for parameter in state.gan.discriminator.parameters()]
    logs = fixture.step(state)
    assert set(logs) == {"content", "generator_loss", "generator_gradient"}
    assert all(map(torch.equal, state.gan.discriminator.parameters(), before))


def test_phase_shuffle_moves_all_by_the_same_and_reflects() -> None:
    gan = build("wavegan", DataSpec(target=Field("audio", (1, 256), {"sample_rate": 8000})))
    maps, found = torch.arange(8.0).expand(2, 3, 8), set()
    shuffle: nn.Module = gan.discriminator.shuffle  # type: ignore[assignment]
    for _ in range(60):
        moved = shuffle(maps)
        assert torch.equal(moved, moved[:1, :1].expand_as(moved))
        found.add(tuple(moved[0, 0].int().tolist()))
    assert (2, 1, 0, 1, 2, 3, 4, 5) in found
    assert (2, 3, 4, 5, 6, 7, 6, 5) in found
    assert len(found) == 5
    assert torch.equal(shuffle.eval()(maps), maps)


def test_wavegan_draws_uniform_noise_and_names_a_length() -> None:
    gan = build("wavegan", DataSpec(target=Field("audio", (2, 512), {"sample_rate": 8000})))
    z = gan.latent(100)
    assert -1 <= z.min() < -0.9 < 0.9 < z.max() <= 1
    assert gan.generate(z).shape == (100, 2, 512)
    with pytest.raises(UsageError, match="samples=5120"):
        build("wavegan", DataSpec(target=Field("audio", (1, 5000), {"sample_rate": 8000})))


def test_wavegan_cond_steers_both_networks_by_the_label() -> None:
    spec = DataSpec(
        target=Field("audio", (1, 256), {"sample_rate": 8000}), given={"label": Field("labels", (), {"classes": 3})}
    )
    gan = build("wavegan-cond", spec)
    z, labels = gan.latent(3), torch.arange(3)
    clips = torch.rand(3, 1, 256)
    gan.discriminator.eval()
    for function, of in ((gan.generator, z), (gan.discriminator, clips)):
        rows = function(of[:1].expand(3, *of.shape[1:]), labels)
        assert not torch.equal(rows[0], rows[1])
        assert not torch.equal(rows[1], rows[2])
    plain = build("wavegan", DataSpec(target=spec.target))
    assert set(gan.state_dict()) - set(plain.state_dict()) == {"generator.label.weight", "discriminator.label.weight"}


def test_bigan_encodes_what_it_generates_from() -> None:
    gan = build("bigan", DataSpec(1, 8))
    real = torch.rand(5, 1, 8, 8)
    assert gan.encoder(real).shape == (5, 50)
    assert gan.reconstruct(real).shape == real.shape
