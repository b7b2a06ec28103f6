"""From a request to a plan: every name looked up, every setting checked, the data at hand; nothing written yet."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ganzoo.core import config as configs
from ganzoo.core import registry
from ganzoo.core.errors import PluginError, UsageError
from ganzoo.core.spec import DataSpec

if TYPE_CHECKING:
    import torch

    from ganzoo.data import Data
    from ganzoo.gan import GAN
    from ganzoo.training.batches import Batches
    from ganzoo.training.loop import Schedule

DEVICES = ("cpu", "cuda", "mps")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")


@dataclass(frozen=True)
class Request:
    """What a user asks for; None is "not said", to be filled from the run that is resumed or from the defaults."""

    architecture: str | None = None
    dataset: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None
    seed: int | None = None
    device: str | None = None
    precision: str | None = None
    checkpoint_every: int | None = None
    sample_every: int | None = None
    evaluate_every: int | None = None
    best_by: str | None = None
    data_dir: str | os.PathLike[str] | None = None
    cuda_graph: bool | None = None


@dataclass(frozen=True)
class Plan:
    """A training that can start. For an exact resume its `identity` must stay the same; its `schedule` may change."""

    entry: registry.Entry
    config: Any
    dataset: str
    data_dir: str | None
    data: Data
    seed: int
    device: str
    precision: str
    schedule: Schedule
    cuda_graph: bool | None = None  # None: where it works; the bits are the same

    @property
    def spec(self) -> DataSpec:
        """What the networks are built for."""
        return self.data.spec

    @property
    def identity(self) -> dict[str, Any]:
        """The part of config.json that a resume compares."""
        return {
            "architecture": self.entry.name,
            "distribution": self.entry.distribution,
            "dataset": {
                "name": self.dataset,
                "split": self.data.split,
                "sha256": self.data.sha256,
                "images": len(self.data),
                "channels": self.spec.channels,
                "size": self.spec.size,
                "classes": self.spec.classes,
                "class_names": list(self.data.class_names),
                "inputs": self.spec.inputs,
                "scale": self.spec.scale,
            },
            "settings": configs.to_dict(self.config),
            "seed": self.seed,
            "device": self.device,
            "precision": self.precision,
        }

    def build(self) -> GAN:
        """The networks, initialised from the plan's seed, on the plan's device; batch norms are those of all ranks."""
        import torch

        from ganzoo.core import distributed
        from ganzoo.gan import build
        from ganzoo.nn import synchronise

        torch.manual_seed(self.seed)
        gan = build(self.entry, self.config, self.spec)
        if distributed.size() > 1:
            synchronise(gan)
        return gan.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def batches(self, device: torch.device) -> Batches:
        """The plan's data in the batches it asks for."""
        from ganzoo.training.batches import Batches

        return Batches(self.data, self.config.batch_size, self.seed, device, self.config.accumulate)


def make(request: Request) -> Plan:
    """Check `request` and open its data. Raises `UsageError`, `PluginError` or `DataError` with one clear message."""
    if request.architecture is None or request.dataset is None:
        missing = "an architecture" if request.architecture is None else "--dataset"
        raise UsageError(f"Training needs {missing}; see ganzoo list and ganzoo datasets.")
    if sum(value is not None for value in (request.steps, request.epochs, request.minutes)) > 1:
        raise UsageError("Give one of steps, epochs and minutes.")
    seed = 0 if request.seed is None else request.seed
    if not 0 <= seed < 1 << 32:
        raise UsageError(f"seed={seed} is not valid: expected an integer from 0 to {(1 << 32) - 1}.")
    precision = request.precision or "fp32"
    if precision not in PRECISIONS:
        raise UsageError(f"precision={precision} is not valid: expected one of {', '.join(PRECISIONS)}.")
    entry = registry.get_architecture(request.architecture)
    kind = registry.get_dataset(request.dataset)[0].kind
    if kind not in entry.card.kinds:
        able = [e.name for e in registry.architectures() if e.error is None and kind in e.card.kinds]
        raise UsageError(
            f"{entry.name} is made for {' and '.join(entry.card.kinds)}, but {request.dataset} has {kind}. "
            f"Choose {' or '.join(able)}."
        )
    config = configs.make(entry.card.Config, request.settings, kind)
    device = str(find_device(request.device))
    if precision == "tf32" and not device.startswith("cuda"):
        raise UsageError(f"precision=tf32 is for NVIDIA GPUs, and this trains on {device}. Choose fp32 or bf16.")

    from ganzoo import data
    from ganzoo.core import distributed

    distributed.check(config.batch_size, config.accumulate, device)

    opened = data.open(request.dataset, image_size=config.image_size, data_dir=request.data_dir)
    return Plan(
        entry=entry,
        config=config,
        dataset=data.absolute_name(request.dataset),
        data_dir=None if request.data_dir is None else os.path.abspath(os.path.expanduser(request.data_dir)),
        data=_used(opened, entry),
        seed=seed,
        device=device,
        precision=precision,
        schedule=_schedule(request, config, len(opened)),
        cuda_graph=request.cuda_graph,
    )


def _used(data: Data, entry: registry.Entry) -> Data:
    """The part of the data that the architecture uses: no labels and no inputs unless its card asks for them."""
    if entry.card.conditional and data.labels is None:
        raise UsageError(
            f"{entry.name} is conditional and needs labels, but {data.name} has none. Choose a labelled data set "
            "(for a folder: one sub-folder per class), or an unconditional architecture."
        )
    if entry.card.paired and not data.paired:
        known = [f"{e.name}:{e.card.argument}" if e.card.argument else e.name for e in registry.paired_datasets()]
        raise UsageError(
            f"{entry.name} turns images into images and needs pairs, but {data.name} has none. "
            f"Choose a data set of pairs: {', '.join(known)}."
        )
    unused: dict[str, Any] = {} if entry.card.conditional else {"labels": None, "class_names": ()}
    unused |= {"inputs": None, "corrupt": None} if data.paired and not entry.card.paired else {}
    return dataclasses.replace(data, **unused)


def merge(run_config: Mapping[str, Any], request: Request) -> Request:
    """The request that continues the run with this config.json: what `request` leaves unsaid comes from the run."""
    said = {name: value for name, value in vars(request).items() if value is not None}
    length = {name: run_config["schedule"][name] for name in ("steps", "minutes")}
    if said.keys() & {"steps", "epochs", "minutes"}:
        length = {}
    before = {
        "architecture": f"{run_config['distribution']}:{run_config['architecture']}",
        "dataset": run_config["dataset"]["name"],
        "data_dir": run_config["data_dir"],
        "checkpoint_every": run_config["schedule"]["checkpoint_every"],
        "sample_every": run_config["schedule"]["sample_every"],
        "evaluate_every": run_config["schedule"].get("evaluate_every"),
        "best_by": run_config["schedule"].get("best_by"),
        **{name: run_config[name] for name in ("seed", "device", "precision")},
    }
    name, qualified = run_config["architecture"], before["architecture"]
    same = request.architecture is None or registry.canonical_name(request.architecture) in (name, qualified)
    settings = {**(run_config["settings"] if same else {}), **request.settings}
    if length.get("minutes") is not None:
        length.pop("steps")
    return Request(**{**before, **length, **said, "settings": settings})


def entry_of(run_config: Mapping[str, Any]) -> registry.Entry:
    """The architecture a run was trained with; names the package to install where it is no longer there."""
    name, distribution = run_config["architecture"], run_config["distribution"]
    try:
        return registry.get_architecture(f"{distribution}:{name}")
    except UsageError:
        raise PluginError(
            f"This run was trained with the architecture {name!r} of the package {distribution!r}, which is not "
            f"installed. Install it: pip install {distribution}"
        ) from None


def find_device(name: str | None) -> torch.device:
    """The torch device called `name`; "auto" or None is the first GPU, else the CPU. UsageError if it is not there."""
    import torch

    if name in (None, "auto"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    assert name is not None
    try:
        if name.partition(":")[0] in DEVICES:
            device = torch.device(name)
            torch.empty(1, device=device)
            return device
        reason = f"ganzoo trains on {', '.join(DEVICES)}"
    except (RuntimeError, AssertionError, NotImplementedError) as failure:
        reason = str(failure).splitlines()[0].partition(". ")[0].rstrip(".")
    raise UsageError(f"Device {name!r} cannot be used here: {reason}. Choose auto or cpu.")


def _schedule(request: Request, config: Any, images: int) -> Schedule:
    from ganzoo.evaluation.metrics import named
    from ganzoo.training.loop import Schedule

    steps = request.steps
    for name, value in (("steps", steps), ("epochs", request.epochs), ("minutes", request.minutes)):
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"{name}={value} is not valid: expected a number above 0.")
    if request.epochs is not None:
        batches = images // config.batch_size * request.epochs
        steps = max(1, math.ceil(batches / config.discriminator_steps))
    if steps is None and request.minutes is None:
        steps = config.steps
    every = {name: getattr(request, name) for name in ("checkpoint_every", "sample_every", "evaluate_every")}
    if request.best_by is not None and request.evaluate_every is None:
        raise UsageError(f"best_by={request.best_by} needs evaluate_every: how often to measure it.")
    if request.best_by is not None:
        named([request.best_by])  # refuses a name that no metric has
    for name, value in every.items():
        if value is not None and value < 1:
            raise UsageError(f"{name}={value} is not valid: expected a number of steps, at least 1.")
    return Schedule(
        steps=steps,
        minutes=request.minutes,
        checkpoint_every=request.checkpoint_every or 1000,
        sample_every=request.sample_every or 500,
        evaluate_every=request.evaluate_every,
        best_by=request.best_by,
    )


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted names: {"dataset": {"name": "mnist"}} -> {"dataset.name": "mnist"}."""
    result: dict[str, Any] = {}
    for name, value in settings.items():
        result |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return result
