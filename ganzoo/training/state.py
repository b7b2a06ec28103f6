"""Everything that changes during training, in one place, so that saving and restoring it can be exact."""

from __future__ import annotations

import contextlib
import io
import math
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from ganzoo.core import distributed
from ganzoo.core.errors import CheckpointError, PluginError
from ganzoo.gan import GAN, Logs, Player
from ganzoo.training import checkpoint
from ganzoo.training.ema import EMA, AveragedNetworks
from ganzoo.training.optimizer_state import checked_rng_state, restore_optimizer, restore_scaler, stepped_optimizers

DTYPES = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class TrainingState:
    """A GAN in training: networks, their moving average, optimizers, random state, step and time.

    `rng` draws the noise of the training, separately from torch's global state, which dropout and the like use; both
    are saved, the global state for every rank. `seconds` is the training time over all resumes. `all_finite` is true
    until a gradient is not finite; from then on no update changes a weight. `step_was_read` is true once the GAN's code
    has asked for the number of a step.
    """

    def __init__(self, gan: GAN, seed: int, precision: str = "fp32", identity: dict[str, Any] | None = None):
        self.gan = gan
        self.seed = seed
        self.identity = identity or {}
        self.players = _checked_players(gan)
        self.parameters = {name: _trainable(gan, player) for name, player in self.players.items()}
        self.device = gan.device
        self.averages = {
            network: EMA(getattr(gan, network), gan.config.ema_half_life if player.average else 0)
            for player in self.players.values()
            for network in player.networks
            if player.average or network == "generator"
        }
        self.dtype = DTYPES[precision]
        scaled = precision == "fp16"  # half precision underflows on small gradients, bfloat16 does not
        self.scalers = {name: torch.amp.GradScaler(self.device.type, enabled=scaled) for name in self.players}
        self.rng = torch.Generator(self.device).manual_seed(seed)
        self.all_finite = torch.ones((), dtype=torch.bool, device=self.device)
        self.step = 0
        self.seconds = 0.0
        self.saved_step: int | None = None
        self.step_was_read = False
        self.seed_rank()

    @property
    def ema(self) -> EMA:
        """The moving average of the generator."""
        return self.averages["generator"]

    @property
    def images_seen(self) -> int:
        images: int = self.step * self.gan.config.discriminator_steps * self.gan.config.batch_size
        return images

    def seed_rank(self) -> None:
        """Seed torch's global random state differently on every rank; rank 0 of a new training keeps its state."""
        if distributed.rank() or self.step:
            torch.manual_seed(_seed_of(self.seed, distributed.rank(), self.step))

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which networks run: mixed precision if the training uses it."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    @contextlib.contextmanager
    def average(self) -> Iterator[None]:
        """While entered, the GAN's generator and other averaged networks are their moving averages."""
        trained = {name: getattr(self.gan, name) for name in self.averages}
        try:
            for name, ema in self.averages.items():
                setattr(self.gan, name, ema.network)
            yield
        finally:
            for name, network in trained.items():
                setattr(self.gan, name, network)

    def apply_schedules(self) -> None:
        """Set learning rates and penalty weight for this step; they depend on the number of images seen alone."""
        config = self.gan.config
        if config.penalty_half_life:
            self.gan.penalty_weight = config.penalty_weight * 0.5 ** (self.images_seen / config.penalty_half_life)
        if config.lr_half_life or config.lr_decay != "none":
            factor = self._lr_factor()
            for player in self.players.values():
                for group in player.optimizer.param_groups:
                    initial = group.setdefault("initial_lr", group["lr"])
                    group["lr"] = initial * factor

    def _lr_factor(self) -> float:
        """The learning rates of this step, as parts of the initial ones."""
        config = self.gan.config
        if config.lr_half_life:
            half: float = 0.5 ** (self.images_seen / config.lr_half_life)
            return half
        done: float = min(self.images_seen / config.lr_decay_images, 1.0)
        return 1 - done if config.lr_decay == "linear" else 0.5 * (1 + math.cos(math.pi * done))

    @contextlib.contextmanager
    def select_players(self, *names: str) -> Iterator[None]:
        """Clear all gradients; while entered, the parameters of players not named collect none.

        The generator's always may: its graph can be kept from the discriminator's update for its own. Parameters that
        a plugin froze stay frozen.
        """
        for player in self.players.values():
            player.optimizer.zero_grad(set_to_none=True)
        selected = {id(p) for name in (*names, "generator") for p in self.parameters[name]}
        frozen = [p for own in self.parameters.values() for p in own if p.requires_grad and id(p) not in selected]
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)

    def weights_are_finite(self) -> bool:
        """Whether every weight of the networks and of the moving averages is finite."""
        networks = (self.gan, *(ema.network for ema in self.averages.values()))
        tensors = (tensor for network in networks for tensor in network.state_dict().values())
        return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())

    def update(self, *names: str) -> Logs:
        """Step the optimizers of these players, unless a gradient was ever not finite.

        The device decides that, so that the CPU need not wait for it. The logs are the norms of the gradients, NaN if
        the step was skipped. With fp16 there are none: overflowing gradients are normal there, and the scaler of the
        first player skips their steps.
        """
        gradients = {name: _gradients(self.players[name].optimizer, name) for name in names}
        distributed.all_reduce_mean([gradient for own in gradients.values() for gradient in own])
        scaler = self.scalers[names[0]]
        if scaler.is_enabled():
            for name in names:
                scaler.step(self.players[name].optimizer)
            scaler.update()
            return {}
        norms = {
            name: torch.linalg.vector_norm(torch.stack(torch._foreach_norm(own))) for name, own in gradients.items()
        }
        for norm in norms.values():
            self.all_finite.logical_and_(norm.isfinite())
        for name, own in gradients.items():
            _step(self.players[name].optimizer, own, self.all_finite)
        return {f"{name}_gradient": torch.where(self.all_finite, norm, torch.nan) for name, norm in norms.items()}

    def save(self, directory: Path) -> Path:
        """Write a checkpoint into `directory` (rank 0 does) and return its path."""
        saved = self.capture()
        return checkpoint.path_of(directory, self.step) if saved is None else saved.write(directory)

    def capture(self, copy: bool = False) -> SavedState | None:
        """What a checkpoint holds; None on ranks that write none. It changes with the training unless it is a `copy`.

        All ranks must call this at the same step.
        """
        torch_rng = distributed.all_gather(torch.get_rng_state())
        cuda_rng = distributed.all_gather(torch.cuda.get_rng_state(self.device)) if self.device.type == "cuda" else None
        if distributed.rank() > 0:
            return None
        state = {
            "identity": self.identity,
            "threads": torch.get_num_threads(),
            "step": self.step,
            "seconds": self.seconds,
            **{f"{name}_optimizer": player.optimizer.state_dict() for name, player in self.players.items()},
            **{f"{name}_scaler": scaler.state_dict() for name, scaler in self.scalers.items()},
            "rng": self.rng.get_state(),
            "torch_rng": torch_rng,
            "cuda_rng": cuda_rng,
        }
        if plain := self.gan.state():
            state["gan"] = _checked_plain(plain)
        averages = AveragedNetworks({name: ema.network for name, ema in self.averages.items()}).state_dict()
        saved = SavedState(self.step, dict(self.gan.state_dict()), averages, state)
        return saved.copied() if copy else saved

    def nbytes(self) -> int:
        """Bytes of memory that a copy of what a checkpoint holds takes, on the CPU."""
        networks = (self.gan, *(ema.network for ema in self.averages.values()))
        tensors = [tensor for network in networks for tensor in network.state_dict().values()]
        for player in self.players.values():
            for values in player.optimizer.state.values():
                tensors += [value for value in values.values() if isinstance(value, Tensor)]
        return sum(tensor.nbytes for tensor in tensors)

    def restore(self, path: Path, state: dict[str, Any]) -> None:
        """Restore the checkpoint at `path`, whose state.pt holds `state`. CheckpointError if any part does not fit."""
        stepped = stepped_optimizers(self.gan)  # before the weights are read, which it may change
        checkpoint.read_weights(path, "model", self.gan)
        averages = AveragedNetworks({name: ema.network for name, ema in self.averages.items()})
        checkpoint.read_weights(path, "ema", averages)
        part = "state"
        try:
            for name, player in self.players.items():
                part = f"{name}_optimizer"
                restore_optimizer(player.optimizer, stepped[name], state[part])
                part = f"{name}_scaler"
                restore_scaler(self.scalers[name], state[part])
            part = "gan"
            if "gan" in state or self.gan.state():
                self.gan.load_state(state["gan"])
            part = "step"
            self.step, self.seconds = state["step"], float(state["seconds"])
            if checkpoint.path_of(path.parent, self.step) != path:
                raise ValueError(f"it is {self.step}")
            self.saved_step = self.step
            saved_on = device_type(state["identity"].get("device", self.device.type))
            if saved_on != self.device.type:  # its random states mean nothing here
                self.rng.manual_seed(_seed_of(self.seed, self.step))
                return self.seed_rank()
            part = "rng"
            self.rng.set_state(checked_rng_state(state["rng"], self.rng.get_state()))
            part = "torch_rng"
            if not isinstance(state["torch_rng"], list):
                raise TypeError("it was written before ganzoo supported ranks")
            if len(state["torch_rng"]) != distributed.size():
                return self.seed_rank()
            torch.set_rng_state(checked_rng_state(state["torch_rng"][distributed.rank()], torch.get_rng_state()))
            part = "cuda_rng"
            if self.device.type == "cuda":
                saved = state["cuda_rng"][distributed.rank()]
                torch.cuda.set_rng_state(checked_rng_state(saved, torch.cuda.get_rng_state(self.device)), self.device)
        except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as failure:
            what = "it is missing" if isinstance(failure, KeyError) else failure
            raise CheckpointError(f"{path / 'state.pt'} does not fit this training: {part}: {what}") from failure


@dataclass(frozen=True)
class SavedState:
    """What the checkpoint of `step` holds: the networks, the moving averages, and the contents of state.pt."""

    step: int
    model: dict[str, Tensor]
    averages: dict[str, Tensor]
    state: dict[str, Any]

    def copied(self) -> SavedState:
        """A copy on the CPU, which training does not change."""
        parts = (self.model, self.averages, self.state)
        return SavedState(self.step, *tree_map_only(Tensor, lambda tensor: tensor.detach().to("cpu", copy=True), parts))

    def write(self, directory: Path) -> Path:
        """Write the checkpoint into `directory` and return its path."""
        return checkpoint.save(directory, self.step, self.model, self.averages, self.state)


def device_type(device: Any) -> str:
    """The kind of a device by its name in config.json: `cuda` of `cuda:1`."""
    return str(device).partition(":")[0]


def _seed_of(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1


def _step(optimizer: Any, gradients: list[Tensor], all_finite: Tensor) -> None:
    """A step of `optimizer` that leaves the weights unchanged if `all_finite` is false."""
    if getattr(optimizer, "_step_supports_amp_scaling", False):  # fused optimizers check found_inf themselves
        optimizer.found_inf = (~all_finite).float()
        optimizer.step()
        del optimizer.found_inf
        return
    weights: list[Tensor] = []
    for group in optimizer.param_groups:
        if group.get("momentum", 1) or group.get("weight_decay"):  # such steps go on without a gradient
            weights += [parameter.detach() for parameter in group["params"] if parameter.grad is not None]
    before = [weight.clone() for weight in weights]
    for gradient in gradients:
        gradient.copy_(torch.where(all_finite, gradient, 0))
    optimizer.step()
    for weight, old in zip(weights, before):
        weight.copy_(torch.where(all_finite, weight, old))


def _checked_players(gan: GAN) -> dict[str, Player]:
    """The players of `gan`. PluginError unless the generator and the discriminator are among them."""
    players = gan.players()
    missing = {"generator", "discriminator"} - players.keys()
    if missing:
        raise PluginError(f"players() lacks {' and '.join(sorted(missing))}; it returns {', '.join(players)}.")
    return players


def _trainable(gan: GAN, player: Player) -> list[Tensor]:
    return [p for network in player.networks for p in getattr(gan, network).parameters() if p.requires_grad]


def _gradients(optimizer: torch.optim.Optimizer, player: str) -> list[Tensor]:
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if not gradients:
        raise PluginError(
            f"An update of the {player} has no gradient: its optimizer must hold the {player}'s parameters, and its "
            "loss depend on them, without detach() or no_grad() in between. A training_step must call "
            "update.backward(loss)."
        )
    return gradients


def _checked_plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """What `GAN.state` returned. PluginError unless it can be read again without running code."""
    file = io.BytesIO()
    try:
        torch.save(dict(state), file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except (pickle.PickleError, TypeError, AttributeError) as failure:
        raise PluginError(
            f"state() may hold numbers, strings, tensors, lists and dicts of them: {str(failure).splitlines()[0]}"
        ) from failure
    return dict(state)
