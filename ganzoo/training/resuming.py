"""What a resumed training shares with its run, and what it says of the differences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo.core import config as configs
from ganzoo.core import distributed, registry
from ganzoo.core.errors import UsageError
from ganzoo.training import checkpoint, warm_start
from ganzoo.training.run import Run
from ganzoo.training.run_config import is_moved
from ganzoo.training.state import device_type


def check_unchanged(
    entry: registry.Entry, identity: dict[str, Any], saved: Mapping[str, Any], path: Path | None
) -> None:
    """Refuse to resume if the identity differs from that of the checkpoint at `path`, or of the run if None."""
    before: dict[str, Any] = saved.get("identity", {}) if path else {name: saved.get(name) for name in identity}
    before = {name: value for name, value in before.items() if name != "device"}
    identity = {name: value for name, value in identity.items() if name != "device"}
    if is_moved(before.get("dataset"), identity["dataset"]):
        before = {**before, "dataset": {**before["dataset"], "name": identity["dataset"]["name"]}}
    if "distribution" in before:
        before = {**before, "distribution": registry.canonical_distribution(before["distribution"])}
    newer_settings = configs.flatten({"settings": configs.defaults(entry.card.Config)})
    changes = configs.difference(newer_settings | configs.flatten(before), configs.flatten(identity))
    if changes:
        raise UsageError(
            f"--resume cannot change what {path.name if path else 'the run'} was trained with. These differ:\n  "
            + "\n  ".join(changes)
        )


def notes(
    run: Run, identity: Mapping[str, Any], saved: Mapping[str, Any], path: Path | None, now: dict[str, Any]
) -> list[str]:
    """What the user should know of a resumed `run`.

    `identity` is that of the session that resumes it, `saved` the state of the checkpoint at `path` that it goes on
    from, and `now` the provenance of this process.
    """
    said = _changed_versions(run, now)
    device = identity["device"]
    before = saved.get("identity", {}).get("device", device) if path else device
    if device_type(before) != device_type(device):
        said.append(
            f"This run was trained on {before} and now continues on {device}: weights, data order and settings are "
            "unchanged, but noise and rounding differ from here on."
        )
    dataset = identity["dataset"]["name"]
    if run.config["dataset"]["name"] != dataset:
        said.append(f"The data of this run, which are the same, are now found as {dataset}.")
    ranks = len(saved.get("torch_rng", ()))
    if path is not None and ranks != distributed.size():
        said.append(
            f"{path.name} was written by {ranks} ranks and is resumed by {distributed.size()}: weights, data order "
            "and noise are unchanged; dropout masks differ, and sums are rounded in a different order."
        )
    return said


def newest_checkpoint(run: Run) -> tuple[Path | None, list[str]]:
    """The newest intact checkpoint, fetched if it is on object storage, and what is wrong with newer ones."""
    if run.remote is not None:
        run.remote.fetch_checkpoints()
        run.remote.fetch_checkpoints(best=True, all=True)
    return checkpoint.newest_valid(run.checkpoints) if checkpoint.checkpoints(run.checkpoints) else (None, [])


def recorded_origin(run: Run) -> warm_start.Origin | None:
    """The checkpoint that `run` begins with. UsageError if it is no longer what it was."""
    if run.config["init_from"] is None:
        return None
    origin = warm_start.Origin.open(run.config["init_from"])
    if origin.sha256 != run.config.get("warm_start", {}).get("sha256"):
        raise UsageError(
            f"{run.path} stopped before its first checkpoint, and the newest weights of {origin.run.label} are not "
            "those it began with. Start a new run."
        )
    return origin


def _changed_versions(run: Run, now: dict[str, Any]) -> list[str]:
    last = [run.config, *run.config.get("resumes", [])][-1]
    changes = configs.difference(last.get("versions", {}), now["versions"])
    return [f"Versions changed, so the resume may not be exact: {', '.join(changes)}."] if changes else []
