from __future__ import annotations

import logging

import pytest
import torch

from ganzoo import ops
from ganzoo.core.errors import UsageError
from ganzoo.nn import ConvTransposeBNReLU
from ganzoo.ops import NativeError, backend, cpu_library
from ganzoo.ops.library import Loaded


def test_backends_are_chosen_by_argument_context_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANZOO_OPS", raising=False)
    assert backend.resolve("auto") == "auto"
    monkeypatch.setenv("GANZOO_OPS", "reference")
    assert backend.resolve("auto") == "reference"
    with ops.use_backend("native"):
        assert backend.resolve("auto") == "native"
        assert backend.resolve("reference") == "reference"
    monkeypatch.setenv("GANZOO_OPS", "natve")
    with pytest.raises(UsageError, match=r"Unknown GANZOO_OPS 'natve'. Did you mean native"):
        backend.resolve("auto")
    with pytest.raises(UsageError, match="Unknown backend 'fast'"), ops.use_backend("fast"):
        pass


def test_without_kernels_auto_says_so_once_and_native_raises(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cpu_library.LIBRARY, "loaded", Loaded(None, None, "there is no C++ compiler"))
    monkeypatch.setattr(backend, "_warned", set())
    block, x = ConvTransposeBNReLU(64, 64), torch.randn(16, 64, 8, 8)
    with caplog.at_level(logging.WARNING, "ganzoo.ops"):
        for _ in range(2):
            assert block(x).shape == (16, 64, 16, 16)
    assert [record.getMessage() for record in caplog.records] == [
        "native kernels are not used: there is no C++ compiler; PyTorch computes instead"
    ]
    with ops.use_backend("native"), pytest.raises(NativeError, match="there is no C\\+\\+ compiler"):
        block(x)
    with pytest.raises(NativeError, match="no native kernels"):
        cpu_library.choose_instruction_set(None)
