"""Operations that ganzoo computes faster than stock PyTorch, each beside its reference."""

from ganzoo.ops.linear import linear

__all__ = ["linear"]
