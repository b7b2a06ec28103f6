from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ganzoo.core.errors import CheckpointError
from ganzoo.training import checkpoint


def write(directory: Path, step: int = 1, **state: Any) -> Path:
    tensors = {"weight": torch.randn(3, 4)}
    return checkpoint.save(directory, step, tensors, tensors, {"step": step, **state})


def test_round_trip(tmp_path: Path) -> None:
    network = nn.Conv2d(2, 3, 4).to(memory_format=torch.channels_last)
    path = checkpoint.save(tmp_path, 7, network.state_dict(), network.state_dict(), {"step": 7, "rng": torch.rand(3)})
    other = nn.Conv2d(2, 3, 4).to(memory_format=torch.channels_last)
    checkpoint.read_weights(path, "model", other)
    assert torch.equal(other.weight, network.weight)
    assert other.weight.stride() == network.weight.stride()
    assert checkpoint.verify(path) is None
    assert checkpoint.read_state(path)["step"] == 7


@pytest.mark.parametrize("name", ["model.safetensors", "ema.safetensors", "state.pt", "manifest.json"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_any_damage_to_any_file_is_found(name: str, damage: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    content = bytearray((path / name).read_bytes())
    if damage == "remove":
        (path / name).unlink()
    else:
        content[len(content) // 2] ^= 0x20
        (path / name).write_bytes(content[: len(content) // 2] if damage == "truncate" else content)
    problem = checkpoint.verify(path)
    assert problem is not None
    assert name in problem


def test_newest_valid_skips_damaged_checkpoints(tmp_path: Path) -> None:
    good = write(tmp_path, 10)
    (write(tmp_path, 20) / "state.pt").write_bytes(b"")
    path, problems = checkpoint.newest_valid(tmp_path)
    assert path == good
    (problem,) = problems
    assert problem.startswith("step-00000020/state.pt is damaged")


def test_an_unfinished_write_is_not_a_checkpoint_and_is_pruned(tmp_path: Path) -> None:
    write(tmp_path, 10)
    unfinished = tmp_path / ".writing-00000020-123"
    unfinished.mkdir()
    (unfinished / "model.safetensors").write_bytes(b"half")
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["step-00000010"]
    checkpoint.prune(tmp_path, 2)
    assert not unfinished.exists()


def test_prune_keeps_the_newest(tmp_path: Path) -> None:
    for step in (1, 2, 10, 100):
        write(tmp_path, step)
    checkpoint.prune(tmp_path, 2)
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["step-00000100", "step-00000010"]


def test_a_full_disk_leaves_the_old_checkpoint_and_no_debris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = write(tmp_path, 1)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(CheckpointError, match="No space left"):
        write(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == [good.name]
    assert checkpoint.verify(good) is None


class Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("attacked"),))


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path)
    torch.save({"step": 1, "bad": Attack()}, path / "state.pt")
    with pytest.raises(CheckpointError, match="cannot be read safely"):
        checkpoint.read_state(path)
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd"])
def test_a_manifest_may_not_name_other_files(name: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": 0, "sha256": ""}
    (path / "manifest.json").write_text(json.dumps(manifest))
    assert checkpoint.verify(path) == f"{path.name}: its manifest does not list the files of a checkpoint"


def test_a_manifest_has_a_format_number_and_may_lack_it(tmp_path: Path) -> None:
    path = write(tmp_path)
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest.pop("format") == checkpoint.FORMAT
    (path / "manifest.json").write_text(json.dumps(manifest))
    assert checkpoint.verify(path) is None  # as written by 0.1.0
    (path / "manifest.json").write_text(json.dumps({"format": 2, **manifest}))
    assert "is of format 2, which this version of ganzoo cannot read" in str(checkpoint.verify(path))


def test_weights_of_other_networks_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(CheckpointError, match="does not fit the networks"):
        checkpoint.read_weights(path, "model", nn.Linear(4, 5))
