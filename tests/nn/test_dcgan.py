"""DCGAN's networks at sizes and options that the built-in architectures do not cover (tests/test_architectures.py)."""

from __future__ import annotations

import pytest
import torch

from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.nn.dcgan import Discriminator, TwoHeadedDiscriminator, channels, stages


def test_stages_invert_doubling() -> None:
    for base in (4, 5, 6, 7):
        for doublings in range(1, 9):
            assert stages(base << doublings) == (base, doublings)
    for size in (0, 1, 7, 9, 36, 4 << 9):
        with pytest.raises(UsageError, match=f"Image size {size} cannot be reached"):
            stages(size)


def test_channels_double_up_to_16_times_the_width() -> None:
    assert channels(3, 6) == [3, 6, 12, 24, 48, 48]


@pytest.mark.parametrize("size", [8, 28])
def test_the_auxiliary_head_shares_the_features_of_the_logits(size: int) -> None:
    discriminator = TwoHeadedDiscriminator(4, DataSpec(1, size), outputs=5, norm=False)
    images = torch.rand(3, 1, size, size)
    logits, predictions = discriminator.predict(images)
    assert (logits.shape, predictions.shape) == ((3,), (3, 5))
    assert torch.equal(discriminator(images), logits)
    assert torch.equal(discriminator(images, torch.zeros(3)), logits)
    with torch.no_grad():
        discriminator.blocks[0][0].weight.zero_()  # type: ignore[index]
    assert not torch.equal(discriminator.predict(images)[1], predictions)


def test_the_norm_of_the_hidden_layer_can_be_left_out() -> None:
    def norms(**options: bool) -> list[str]:
        modules = Discriminator(4, DataSpec(1, 28), **options).modules()
        return [type(module).__name__ for module in modules if "Norm" in type(module).__name__]

    assert norms() == ["BatchNorm2d", "BatchNorm1d"]
    assert norms(hidden_norm=False) == ["BatchNorm2d"]
    assert norms(norm=False) == []
