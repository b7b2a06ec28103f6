"""Checkpoints and configs that are damaged or malicious."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.core.errors import CheckpointError, GanzooError
from ganzoo.training import checkpoint
from ganzoo.training.run import Run


@settings(max_examples=60)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_found(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("flip")
    tensors = {"weight": torch.arange(3.0)}
    path = checkpoint.save(folder, 1, tensors, tensors, {"step": 1})
    file = data.draw(st.sampled_from(sorted(path.iterdir())))
    content = bytearray(file.read_bytes())
    original = json.loads(content) if file.suffix == ".json" else None
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(content)
    if checkpoint.verify(path) is None:
        assert original == json.loads(content), "only the manifest's white space may change unnoticed"


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 1, {}, {}, {})
    deep = "[" * 200_000
    (path / "manifest.json").write_text(deep)
    assert checkpoint.verify(path) == "step-00000001/manifest.json is damaged"
    (tmp_path / "config.json").write_text(deep)
    with pytest.raises(GanzooError, match=r"config\.json cannot be read"):
        Run.open(tmp_path)


def test_a_compressed_state_is_refused_before_it_is_decompressed(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 1, {}, {}, {"step": 1})
    packed = io.BytesIO()
    with zipfile.ZipFile(path / "state.pt") as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("archive/data/0", bytes(50_000_000))
    (path / "state.pt").write_bytes(packed.getvalue())
    with pytest.raises(CheckpointError, match="it is compressed"):
        checkpoint.read_state(path)


@pytest.mark.parametrize("header", [(1 << 62).to_bytes(8, "little"), (99).to_bytes(8, "little") + b"{" * 99])
def test_a_malformed_header_of_weights_is_refused(header: bytes, tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 1, {}, {}, {})
    (path / "model.safetensors").write_bytes(header)
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.read_weights(path, "model", torch.nn.Linear(1, 1))
