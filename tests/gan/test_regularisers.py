"""The regularisers that are settings of any architecture have the values of their papers and of the authors' code."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ganzoo
from ganzoo.core import registry
from ganzoo.core.config import make
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.gan.regularisers import Regularisers, orthogonality, path_lengths, top_k
from ganzoo.penalties import balanced_consistency_penalty, consistency_penalty, flipped_and_moved
from ganzoo.testing.fixtures import ArchitectureFixture


def settings(name: str = "dcgan", **values: Any) -> Any:
    return make(registry.get_architecture(name).card.Config, values)


def context(step: int, **others: Any) -> Any:
    return SimpleNamespace(step=step, mean_over_ranks=lambda x: x, rng=torch.Generator().manual_seed(0), **others)


def test_path_length_is_the_norm_of_the_transposed_derivative_times_noise() -> None:
    rng = torch.Generator().manual_seed(0)
    styles = torch.randn(3, 2, 5, generator=rng, requires_grad=True)  # three images, two layers
    matrix = torch.randn(10, 1 * 4 * 4, generator=rng)
    images = (styles.flatten(1) @ matrix).view(3, 1, 4, 4)
    lengths = path_lengths(styles, images, torch.Generator().manual_seed(1))
    noise = torch.randn(3, 16, generator=torch.Generator().manual_seed(1)) / 4
    expected = (noise @ matrix.T).view(3, 2, 5).square().sum(2).mean(1).sqrt()
    torch.testing.assert_close(lengths, expected)


def test_the_path_penalty_pulls_lengths_to_their_moving_average() -> None:
    regularisers = Regularisers(settings(path_length=2.0))
    z = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))

    def path(z: Tensor, condition: Any) -> tuple[Tensor, Tensor]:
        z = z.clone().requires_grad_()
        return z, (3 * z).view(len(z), 1, 2, 2)

    gan: Any = SimpleNamespace(step_context=context(4), path=path)
    ((term, logs),) = regularisers.generator(gan, SimpleNamespace(z=z, condition=None))  # type: ignore[arg-type]
    noise = torch.randn(4, 4, generator=torch.Generator().manual_seed(0)) / 2  # half of the images
    lengths = (3 * noise).norm(dim=1)
    mean = 0.01 * lengths.mean()
    torch.testing.assert_close(regularisers.mean_path, mean)
    torch.testing.assert_close(logs["path_penalty"], (lengths - mean).square().mean())
    torch.testing.assert_close(term, 2.0 * 4 * logs["path_penalty"])
    gan.step_context.step = 5
    assert not list(regularisers.generator(gan, SimpleNamespace(z=z, condition=None)))  # type: ignore[arg-type]


def test_zcr_compares_images_of_noise_nearby() -> None:
    regularisers = Regularisers(settings(zcr=20.0))
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))

    def near() -> Tensor:
        return 3 * (z + 0.05 * torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))

    gan: Any = SimpleNamespace(
        step_context=context(0), generate=lambda z, condition: 3 * z, augment=lambda x: x,
        discriminator=lambda images, condition: images.sum(1),
    )  # fmt: skip
    micro: Any = SimpleNamespace(z=z, condition=None)
    ((term, logs),) = regularisers.latent_consistency(gan, micro, 3 * z)
    expected = (3 * z - near()).sum(1).square().mean()
    torch.testing.assert_close(logs["latent_consistency"], expected)
    torch.testing.assert_close(term, 20 * expected)
    gan.step_context = context(0)
    term, logs = regularisers.latent_diversity(gan, micro, 3 * z)
    torch.testing.assert_close(term, -0.5 * (3 * z - near()).square().mean())
    assert not list(Regularisers(settings()).latent_consistency(gan, micro, z))


def test_zcr_trains_both_networks_and_logs_what_it_adds() -> None:
    fixture = ArchitectureFixture(registry.get_architecture("cgan").card, {"width": 4, "batch_size": 8, "zcr": 20.0})
    assert fixture.step(fixture.state()).keys() >= {"latent_consistency", "latent_diversity", "generator_loss"}


def test_a_setting_that_a_training_step_does_not_use_gets_a_note(tmp_path: Path) -> None:
    notes: list[str] = []

    class Notes(ganzoo.Callback):
        def on_note(self, text: str) -> None:
            notes.append(text)

    options: dict[str, Any] = {"dataset": "digits", "steps": 2, "widths": (8,), "latent_dim": 4, "callbacks": [Notes()]}
    ganzoo.train("bigan", path_length=2.0, top_k=0.5, augmentation="flip", out=tmp_path / "own", **options)
    unused = "has no effect: this architecture's training step does not use it."
    assert notes == [f"path_length=2.0 {unused}", f"top_k=0.5 {unused}"]


@pytest.mark.parametrize("name", ["dcgan", "acgan"])
def test_the_usual_training_step_uses_every_setting(name: str) -> None:
    values = {"path_length": 1.0, "orthogonal": 1.0, "lecam": 1.0, "top_k": 0.5, "augmentation": "flip", "zcr": 1.0}
    fixture = ArchitectureFixture(registry.get_architecture(name).card, {"width": 4, "batch_size": 8, **values})
    state = fixture.state()
    assert len(state.gan.regularisers.without_effect()) == len(values)
    fixture.step(state)
    assert not state.gan.regularisers.without_effect()


def test_lecam_measures_logits_against_the_moving_average_of_the_other_side() -> None:
    regularisers = Regularisers(settings(lecam=0.3, lecam_start=1))
    real, fake = torch.tensor([2.0, 4.0]), torch.tensor([-1.0, 0.0])
    assert regularisers.lecam(real, fake, SimpleNamespace(step_context=context(0))) is None  # type: ignore[arg-type]
    torch.testing.assert_close(regularisers.mean_logits, torch.tensor([3.0, -0.5]))
    value = regularisers.lecam(real + 1, fake - 1, SimpleNamespace(step_context=context(1)))  # type: ignore[arg-type]
    a_real, a_fake = 0.99 * 3.0 + 0.01 * 4.0, 0.99 * -0.5 + 0.01 * -1.5
    torch.testing.assert_close(regularisers.mean_logits, torch.tensor([a_real, a_fake]))
    expected = (torch.tensor([3.0, 5.0]) - a_fake).square().mean() + (a_real + torch.tensor([2.0, 1.0])).square().mean()
    assert value is not None
    torch.testing.assert_close(value, 0.3 * expected)


def test_the_step_of_orthogonal_regularisation_is_that_of_the_authors_code() -> None:
    layer = nn.Linear(6, 4)
    orthogonality(layer).backward()
    gram = layer.weight @ layer.weight.T
    torch.testing.assert_close(layer.weight.grad, 2 * (gram * (1 - torch.eye(4))) @ layer.weight)
    nn.init.orthogonal_(layer.weight)
    assert orthogonality(layer) < 1e-10
    with pytest.raises(UsageError, match="needs a generator with weight matrices"):
        orthogonality(nn.ReLU())


def test_top_k_falls_to_its_least_share_and_keeps_the_best() -> None:
    assert [top_k(64, images, 0.5) for images in (0, 49_999, 50_000, 10_000_000)] == [64, 64, 63, 32]
    card = registry.get_architecture("vanilla").card
    config = make(card.Config, {"top_k": 0.5, "generator_widths": (4,), "discriminator_widths": (4,)})
    gan = card.build(config, DataSpec(1, 8))
    gan.step_context = context(0, images_seen=10_000_000)
    logits = torch.tensor([3.0, -2.0, 0.0, 1.0])
    expected = nn.functional.softplus(-torch.tensor([3.0, 1.0])).mean()
    torch.testing.assert_close(gan.generator_objective(None, logits), expected)


def test_consistency_is_the_squared_difference_that_the_transformation_makes() -> None:
    real, fake = torch.rand(2, 5, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    weight = torch.rand(256)

    def score(images: Tensor) -> Tensor:
        return images.flatten(1) @ weight

    moved = flipped_and_moved(real, torch.Generator().manual_seed(1))
    expected = (score(real) - score(moved)).square().mean()
    torch.testing.assert_close(consistency_penalty(score, real, fake, torch.Generator().manual_seed(1)), expected)
    rng = torch.Generator().manual_seed(1)
    both = expected + (score(fake) - score(flipped_and_moved(fake, _after(real)))).square().mean()
    torch.testing.assert_close(balanced_consistency_penalty(score, real, fake, rng), both)


def _after(real: Tensor) -> torch.Generator:
    rng = torch.Generator().manual_seed(1)
    flipped_and_moved(real, rng)
    return rng


def test_images_are_moved_by_up_to_an_eighth_and_reflected_at_the_edge() -> None:
    ramp = torch.arange(16.0).expand(500, 1, 16, 16)
    moved = flipped_and_moved(ramp, torch.Generator().manual_seed(0))
    row = torch.nn.functional.pad(torch.arange(16.0)[None, None], (2, 2), mode="reflect")[0, 0]
    possible = {tuple(part.tolist()) for x in (row, row.flip(0)) for part in x.unfold(0, 16, 1)}
    assert {tuple(image[0, 0].tolist()) for image in moved} == possible
    assert len(possible) == 10


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"penalty_interval": 4}, "penalty_interval=4 with penalty=none: it has no effect"),
        ({"lecam": 0.3, "loss": "relativistic"}, "lecam=0.3 with loss=relativistic"),
        ({"top_k": 0.5, "loss": "relativistic_average"}, "top_k=0.5 with loss=relativistic_average"),
    ],
)
def test_contradictions_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings(**values)


def test_a_lazy_penalty_is_as_many_times_as_strong() -> None:
    card = registry.get_architecture("dcgan").card
    config = make(card.Config, {"penalty": "r1", "penalty_interval": 4, "width": 4})
    gan = card.build(config, DataSpec(1, 8))
    images = torch.rand(2, 1, 8, 8)
    values = []
    for step in (0, 1, 4):
        gan.step_context = context(step)
        values.append(gan.penalty(images, images, None, None))
    assert values[1] == (0.0, {})
    torch.testing.assert_close(values[0][0], 4 * config.penalty_weight * values[0][1]["penalty"])
    assert gan.phase(0) == gan.phase(4) != gan.phase(1)


def test_zcr_is_refused_where_noise_nearby_does_not_give_images_nearby() -> None:
    card = registry.get_architecture("stylegan2").card
    with pytest.raises(UsageError, match=r"mixing=0\.9 gives them styles of other noise\. Choose mixing=0 or zcr=0"):
        card.build(make(card.Config, {"zcr": 1.0}), DataSpec(1, 16))
    card.build(make(card.Config, {"zcr": 1.0, "mixing": 0.0}), DataSpec(1, 16))
