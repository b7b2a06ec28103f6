"""Restores optimizers, gradient scalers and generators from a state.pt, which may come from anywhere.

Native code uses these tensors without further checks: an optimizer whose state is smaller than its parameters would
write beyond it. So all of it is compared with what the freshly built training has. ValueError says what differs.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganzoo.gan import GAN

CPU_STATE_BYTES = 5056
MT19937_WORDS = 624


def stepped_optimizers(gan: GAN) -> dict[str, torch.optim.Optimizer]:
    """Optimizers as `gan.players()` makes them, after a step along zero gradients, which creates all their state.

    The step may change the weights of `gan`: load these afterwards.
    """
    optimizers = {name: player.optimizer for name, player in gan.players().items()}
    for optimizer in optimizers.values():
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        for parameter in parameters:
            parameter.grad = None
    return optimizers


def restore_optimizer(optimizer: torch.optim.Optimizer, stepped: torch.optim.Optimizer, saved: Any) -> None:
    """Load the state_dict `saved` into `optimizer`, whose state looks like that of `stepped`, which is used up.

    Numbers among the hyperparameters come from `saved`; flags, such as `fused` or `capturable`, do not.
    """
    expected = stepped.state_dict()
    if not isinstance(saved, dict) or not isinstance(saved.get("state"), dict):
        raise ValueError("it has no state")
    groups = saved.get("param_groups")
    if not isinstance(groups, list) or len(groups) != len(expected["param_groups"]):
        raise ValueError(f"its param_groups are not a list of {len(expected['param_groups'])}")
    third_party = not type(optimizer).__module__.startswith(("torch.", "ganzoo."))
    parameters = [parameter for group in stepped.param_groups for parameter in group["params"]]
    state = {}
    for index, values in saved["state"].items():
        if index not in expected["state"] or not isinstance(values, dict):
            raise ValueError(f"it has state for a parameter {index!r}, which it does not optimize")
        like = expected["state"][index]
        try:
            state[index] = _restored_state(values, like, parameters[index] if third_party else None)
        except ValueError as problem:
            raise ValueError(f"parameter {index}: {problem}") from None
    merged = [_restored_group(group, like) for group, like in zip(groups, expected["param_groups"])]
    optimizer.load_state_dict({"state": state, "param_groups": merged})


def restore_scaler(scaler: torch.amp.GradScaler, saved: Any) -> None:
    """Load scale and growth tracker of the state_dict `saved` into `scaler`."""
    fresh = scaler.state_dict()
    if not isinstance(saved, dict) or saved.keys() != fresh.keys():
        raise ValueError(f"it has {_names(saved)}, expected {_names(fresh)}")
    if not fresh:
        return
    scale, tracker = saved["scale"], saved["_growth_tracker"]
    if not _is_number(scale) or scale <= 0:
        raise ValueError(f"scale is {scale!r}, expected a number above 0")
    if not isinstance(tracker, int) or isinstance(tracker, bool) or not 0 <= tracker < 1 << 31:
        raise ValueError(f"_growth_tracker is {tracker!r}, expected an integer from 0 to 2^31 - 1")
    scaler.load_state_dict({**fresh, "scale": float(scale), "_growth_tracker": tracker})


def checked_rng_state(saved: Any, fresh: Tensor) -> Tensor:
    """A copy of `saved`, if it can be the state of the generator that now has the state `fresh`."""
    copied = _restored_tensor(saved, fresh.clone())
    if len(copied) == CPU_STATE_BYTES:  # a Mersenne Twister, which reads the word at `position` without a check
        _, left, _, position = struct.unpack("<QiiQ", copied[:24].numpy().tobytes())
        if left + position != MT19937_WORDS + 1 and (left, position) != (1, 0):
            raise ValueError("it is not the state of a generator")
    return copied


def _restored_state(saved: Mapping[Any, Any], like: Mapping[Any, Any], parameter: Tensor | None) -> dict[Any, Any]:
    """The state of one parameter. An optimizer of a plugin, given its `parameter`, may have state that comes later."""
    if not saved:  # the parameter had no gradient yet
        return {}
    missing = like.keys() - saved.keys()
    if missing:
        raise ValueError(f"it lacks {_names(missing)}")
    restored = {}
    for name, value in saved.items():
        try:
            restored[name] = _like(value, like[name]) if name in like else _later_state(value, parameter)
        except ValueError as problem:
            raise ValueError(f"{name} {problem}") from None
    return restored


def _later_state(value: Any, parameter: Tensor | None) -> Any:
    """State that the first step did not create: a number, or a tensor of the shape of the parameter or of none."""
    if parameter is not None and isinstance(value, Tensor):
        scalar = torch.zeros((), dtype=value.dtype)
        return _restored_tensor(value, scalar if value.dim() == 0 else torch.zeros_like(parameter.detach()))
    if parameter is not None and (value is None or isinstance(value, bool) or _is_number(value)):
        return value
    raise ValueError("is unknown")


def _restored_group(saved: Any, like: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters `like` those of a new optimizer, with the numbers of `saved`."""
    if not isinstance(saved, dict) or saved.get("params") != like["params"]:
        raise ValueError("its param_groups are not those of the networks' parameters")
    group = dict(like)
    for name, value in saved.items():
        try:
            if name in like:
                group[name] = _like(value, like[name], keep_flags=True)
            elif _is_number(value):  # such as initial_lr, which a schedule adds
                group[name] = value
            elif value is not None and not isinstance(value, bool):  # flags of another version of torch
                raise ValueError("is unknown")
        except ValueError as problem:
            raise ValueError(f"{name} {problem}") from None
    return group


def _like(value: Any, like: Any, keep_flags: bool = False) -> Any:
    """`value` if it is of the same kind as `like`; with `keep_flags`, `like` if that is no number."""
    if isinstance(like, Tensor):
        return _restored_tensor(value, like.clone() if keep_flags else like)
    if _is_number(like):
        if not _is_number(value):
            raise ValueError(f"is {_kind(value)}, expected a finite number")
        return value
    if isinstance(like, (tuple, list)):
        if not isinstance(value, (tuple, list)) or len(value) != len(like):
            raise ValueError(f"is {_kind(value)}, expected {len(like)} values")
        return type(like)(_like(inner, inner_like, keep_flags) for inner, inner_like in zip(value, like))
    if not keep_flags and (type(value) is not type(like) or not isinstance(value, (bool, str, type(None)))):
        raise ValueError(f"is {_kind(value)}, expected {_kind(like)}")
    return like if keep_flags else value


def _restored_tensor(value: Any, target: Tensor) -> Tensor:
    """`target` with the content of `value`, which must be a plain tensor of the same shape and dtype."""
    plain = type(value) is Tensor and value.layout is torch.strided and not value.is_nested
    if not plain or value.device.type != "cpu" or value.dtype != target.dtype or value.shape != target.shape:
        raise ValueError(f"is {_kind(value)}, expected {_kind(target)}")
    return target.copy_(value)


def _is_number(value: Any) -> bool:
    """Whether `value` is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -(1 << 63) < value < 1 << 63 if isinstance(value, int) else math.isfinite(value)


def _kind(value: Any) -> str:
    """Dtype and shape of a tensor, or the type of any other value."""
    if type(value) is Tensor and not value.is_nested and value.layout is torch.strided:
        place = "" if value.device.type == "cpu" else f" on {value.device}"
        return f"{value.dtype} {list(value.shape)}{place}".removeprefix("torch.")
    return f"{value!r}" if isinstance(value, (bool, int, float)) else f"a {type(value).__name__}"


def _names(names: Any) -> str:
    return ", ".join(sorted(map(str, names))) if names and not isinstance(names, Tensor) else "nothing"
