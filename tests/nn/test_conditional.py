from __future__ import annotations

import torch

from ganzoo.nn import ConditionalBatchNorm, ProjectionHead, VectorBatchNorm


def test_conditional_batch_norm_scales_and_shifts_by_label() -> None:
    norm = ConditionalBatchNorm(3, classes=2).eval()
    with torch.no_grad():
        norm.embed.weight[1] = torch.tensor([2.0, 3.0, 4.0, 0.1, 0.2, 0.3])
    maps, labels = torch.randn(2, 3, 4, 4), torch.tensor([1, 0])
    expected = norm.norm(maps)[0] * torch.tensor([2.0, 3.0, 4.0])[:, None, None]
    expected = expected + torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    torch.testing.assert_close(norm(maps, labels)[0], expected)


def test_a_new_conditional_batch_norm_is_close_to_a_plain_one() -> None:
    torch.manual_seed(0)
    norm = ConditionalBatchNorm(64, classes=10)
    scales, shifts = norm.embed.weight.chunk(2, dim=1)
    assert abs(scales.mean() - 1) < 0.01
    assert abs(scales.std() - 0.02) < 0.005
    assert not shifts.any()


def test_vector_batch_norm_has_scale_1_for_the_zero_vector() -> None:
    norm = VectorBatchNorm(3, features=5)
    maps = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(norm(maps, torch.zeros(2, 5)), norm.norm(maps))


def test_the_projection_is_the_product_of_features_and_embedding() -> None:
    head, features, labels = ProjectionHead(4, classes=3), torch.randn(2, 4), torch.tensor([2, 0])
    assert head.embed is not None
    expected = head.linear(features)[:, 0] + torch.stack(
        [head.embed.weight[2] @ features[0], head.embed.weight[0] @ features[1]]
    )
    torch.testing.assert_close(head(features, labels), expected)
    assert ProjectionHead(4).embed is None
