from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.core.spec import DataSpec
from ganzoo.nn import DownBlock, SelfAttention, UpBlock
from ganzoo.nn.resnet import Discriminator, Generator


@pytest.mark.parametrize("size", [8, 16, 28, 32, 48, 64])
def test_it_builds_for_a_range_of_sizes(size: int) -> None:
    spec = DataSpec(3, size)
    images = Generator(6, 2, spec)(torch.randn(2, 6))
    assert images.shape == (2, 3, size, size)
    assert Discriminator(2, spec)(images).shape == (2,)


def conv3x3(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    """The layer without its change of size."""
    return F.conv2d(maps, layer.weight, layer.bias, padding=1)


def test_the_shortcut_commutes_with_upsampling() -> None:
    block, maps = UpBlock(3, 5).eval(), torch.randn(2, 3, 4, 4)
    hidden = conv3x3(block.conv1, F.interpolate(F.relu(block.norm1(maps)), scale_factor=2.0))
    hidden = block.conv2(F.relu(block.norm2(hidden)))
    torch.testing.assert_close(block(maps), hidden + block.shortcut(F.interpolate(maps, scale_factor=2.0)))


def test_the_shortcut_commutes_with_averaging() -> None:
    block, maps = DownBlock(3, 5), torch.randn(2, 3, 4, 4)
    assert block.shortcut is not None
    hidden = conv3x3(block.conv2, F.relu(block.conv1(F.relu(maps))))
    torch.testing.assert_close(block(maps), F.avg_pool2d(hidden + block.shortcut(maps), 2))


def test_a_block_of_equal_widths_that_does_not_halve_has_an_identity_shortcut() -> None:
    assert DownBlock(4, 4, down=False).shortcut is None
    assert DownBlock(4, 5, down=False).shortcut is not None


def test_attention_starts_as_the_identity_and_has_the_published_number_of_parameters() -> None:
    attention, maps = SelfAttention(128), torch.randn(2, 128, 6, 6)
    assert torch.equal(attention(maps), maps)
    assert sum(p.numel() for p in attention.parameters()) == 20_481
    with torch.no_grad():
        attention.strength.fill_(1)
    keys, values = (F.max_pool2d(conv(maps), 2).flatten(2) for conv in (attention.key, attention.value))
    weights = torch.einsum("ncq,nck->nqk", attention.query(maps).flatten(2), keys).softmax(-1)
    mixed = torch.einsum("nqk,nck->ncq", weights, values).unflatten(2, (6, 6))
    torch.testing.assert_close(attention(maps), maps + attention.out(mixed))
