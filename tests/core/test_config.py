from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args, get_origin

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, reject
from hypothesis import settings as examples
from hypothesis import strategies as st

from ganzoo.core import config as configs
from ganzoo.core import plugin, registry
from ganzoo.core.config import Setting, difference, format_value, make, setting, settings, to_dict
from ganzoo.core.entry_points import LOSSES as LOSS_GROUP
from ganzoo.core.entry_points import PENALTIES as PENALTY_GROUP
from ganzoo.core.errors import UsageError
from ganzoo.core.plugin import WITHOUT_TARGET
from ganzoo.training.config import TrainConfig

CARDS = {entry.name: entry.card for entry in registry.architectures() if entry.error is None}
LOSSES = registry.names(LOSS_GROUP)
PENALTIES = ["none", "clip", *registry.names(PENALTY_GROUP)]


def refused(loss: str, penalty: str) -> bool:
    return (loss == "wasserstein" and penalty == "none") or (penalty == "clip" and loss != "wasserstein")


@dataclass(frozen=True, kw_only=True)
class Config(plugin.Config):
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mode=fast": {"count": 7, "widths": (1,)},
        "flag=true": {"title": "flagged"},
        "title=flagged": {"size": 9},
    }

    count: int = setting(3, "a whole number", ge=1, le=10)
    rate: float = setting(0.5, "a positive number", gt=0)
    flag: bool = setting(False, "yes or no")
    mode: Literal["slow", "fast"] = setting("slow", "a choice")
    size: int | None = setting(None, "an optional number", ge=1)
    widths: tuple[int, ...] = setting((4, 5), "several numbers", ge=1)
    title: str = setting("untitled", "some text")
    either: int | Literal["auto"] = setting("auto", "a number or a word")
    batch_size: int = 32


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("count", "10", 10),
        ("count", 10, 10),
        ("count", 10.0, 10),
        ("rate", "1e-3", 0.001),
        ("rate", 2, 2.0),
        ("flag", "true", True),
        ("flag", "ON", True),
        ("flag", "1", True),
        ("flag", "no", False),
        ("flag", True, True),
        ("mode", "fast", "fast"),
        ("size", "none", None),
        ("size", "None", None),
        ("size", None, None),
        ("size", "64", 64),
        ("widths", "128,128", (128, 128)),
        ("widths", "128, 64,", (128, 64)),
        ("widths", "7", (7,)),
        ("widths", "", ()),
        ("widths", [1, 2], (1, 2)),
        ("widths", 7, (7,)),
        ("title", "none", "none"),
        ("title", "a=b, c", "a=b, c"),
        ("either", "auto", "auto"),
        ("either", "12", 12),
    ],
)
def test_parse(name: str, given: object, expected: object) -> None:
    value = getattr(make(Config, {name: given}), name)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("count", "three", "integer >= 1 and <= 10"),
        ("count", "1.5", "integer"),
        ("count", 1.5, "integer"),
        ("count", True, "integer"),
        ("count", None, "integer"),
        ("count", [1], "integer"),
        ("count", "0", ">= 1"),
        ("count", 11, "<= 10"),
        ("rate", "fast", "number > 0"),
        ("rate", 0, "number > 0"),
        ("rate", "nan", "number"),
        ("rate", "inf", "number"),
        ("rate", float("-inf"), "number"),
        ("rate", 10**400, "number"),
        ("flag", "maybe", "true or false"),
        ("flag", 1, "true or false"),
        ("mode", "medium", "one of slow, fast"),
        ("mode", None, "one of slow, fast"),
        ("size", "big", "integer or none"),
        ("size", 0, "integer or none >= 1"),
        ("widths", "128,x", "integers separated by commas"),
        ("widths", "128,0", ">= 1"),
        ("widths", [1.5], "integers separated by commas"),
        ("title", 3, "text"),
        ("either", "never", "integer or one of auto"),
    ],
)
def test_wrong_values_are_refused_with_what_was_expected(name: str, given: object, message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        make(Config, {name: given})
    assert str(refusal.value).startswith(f"{name}={format_value(given)}"[:100])
    assert " is not valid: expected " in str(refusal.value)
    assert message in str(refusal.value)


def test_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"Unknown setting 'widht'\. Did you mean widths"):
        make(Config, {"widht": "3"})


def test_variants_change_defaults_and_explicit_values_win() -> None:
    assert (make(Config, {}).count, make(Config, {}).widths) == (3, (4, 5))
    fast = make(Config, {"mode": "fast"})
    assert (fast.count, fast.widths) == (7, (1,))
    own = make(Config, {"mode": "fast", "count": "2"})
    assert (own.count, own.widths) == (2, (1,))
    own = make(Config, {"mode": "fast", "count": 3})
    assert own.count == 3


def test_variants_may_build_on_each_other() -> None:
    assert make(Config, {"flag": "yes"}).size == 9
    assert make(Config, {"flag": "yes", "title": "own"}).size is None


def test_a_subclass_inherits_help_and_range_of_a_redeclared_setting() -> None:
    (own,) = (s for s in settings(Config) if s.name == "batch_size")
    (base,) = (s for s in settings(plugin.Config) if s.name == "batch_size")
    assert (own.default, own.help, own.ge) == (32, base.help, 1)
    assert base.default != 32
    with pytest.raises(UsageError, match="batch_size=0"):
        make(Config, {"batch_size": 0})


def test_configs_are_frozen() -> None:
    with pytest.raises(AttributeError):
        make(Config, {}).count = 4  # type: ignore[misc]


def test_difference_names_each_change() -> None:
    before, after = to_dict(make(Config, {})), to_dict(make(Config, {"widths": "1,2", "size": 3}))
    assert difference(before, after) == ["size: none -> 3", "widths: 4,5 -> 1,2"]
    assert difference(before, before) == []
    assert difference({"a": 1}, {"b": True}) == ["a: 1 -> unset", "b: unset -> true"]


def values(of: Setting, kind: Any = None) -> st.SearchStrategy[Any]:
    """Valid values of a setting."""
    kind = kind or of.type
    if of.choices:
        return st.sampled_from(of.choices)
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) is tuple:
        return st.lists(values(of, get_args(kind)[0]), max_size=4).map(tuple)
    if type(None) in get_args(kind):
        return st.one_of(st.none(), *(values(of, arg) for arg in get_args(kind) if arg is not type(None)))
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(int(of.ge or 0), int(of.le or 1 << 40))
    if kind is float:
        low = of.ge if of.gt is None else of.gt
        high = 1e9 if of.le is None else of.le
        return st.floats(low, high, exclude_min=of.gt is not None, allow_nan=False)
    assert kind is str
    return st.text(alphabet="abc xyz-123", min_size=1).map(str.strip)


@st.composite
def overrides(draw: st.DrawFn, config_type: type) -> dict[str, Any]:
    """Some settings of a Config that are valid separately and together."""
    known = {s.name: s for s in settings(config_type)}
    chosen: dict[str, Any] = draw(st.fixed_dictionaries({}, optional={name: values(s) for name, s in known.items()}))
    losses, penalties = (
        [v for v in every if v in known[name].choices] for name, every in (("loss", LOSSES), ("penalty", PENALTIES))
    )
    allowed = [(loss, penalty) for loss in losses for penalty in penalties if not refused(loss, penalty)]
    if allowed:
        chosen["loss"], chosen["penalty"] = draw(st.sampled_from(allowed))
    if chosen.get("loss") in WITHOUT_TARGET:
        chosen["real_label"] = 1.0
    if chosen.pop("lr_decay", "none") != "none":
        chosen |= {"lr_decay": "linear", "lr_half_life": 0, "lr_decay_images": chosen.get("lr_decay_images") or 1000}
    else:
        chosen.pop("lr_decay_images", None)
    try:
        make(config_type, chosen)
    except UsageError:  # a contradiction of this architecture's own
        reject()
    return chosen


@pytest.mark.parametrize("name", CARDS)
@examples(max_examples=15, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_a_config_survives_json_and_the_command_line(name: str, data: st.DataObject) -> None:
    config_type = CARDS[name].Config
    chosen = data.draw(overrides(config_type))
    config = make(config_type, chosen)
    for key, value in chosen.items():
        assert getattr(config, key) == value
    as_json = json.loads(json.dumps(to_dict(config)))
    assert make(config_type, as_json) == config
    assert make(config_type, {key: format_value(value) for key, value in to_dict(config).items()}) == config


@pytest.mark.parametrize("name", CARDS)
def test_defaults_are_valid_and_every_setting_is_explained(name: str) -> None:
    config_type = CARDS[name].Config
    make(config_type, {})
    for s in settings(config_type):
        assert s.help, s.name
        assert "<" not in s.type_name, s.name
        assert "typing" not in s.type_name, s.name


@pytest.mark.parametrize("name", CARDS)
def test_variants_name_settings_that_exist(name: str) -> None:
    config_type = CARDS[name].Config
    known = {s.name: s for s in settings(config_type)}
    for condition, defaults in config_type.variants.items():
        key, _, value = condition.partition("=")
        if key == "data":
            assert value in CARDS[name].kinds
        else:
            configs.parse(known[key], value)
        for changed, default in defaults.items():
            assert configs.parse(known[changed], default) == default


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_only_combinations_that_make_sense_are_allowed(loss: str, penalty: str) -> None:
    if refused(loss, penalty):
        with pytest.raises(UsageError, match=r"^(loss|penalty)=\w+ with (loss|penalty)=\w+: .*Choose "):
            make(plugin.Config, {"loss": loss, "penalty": penalty})
    else:
        config = make(plugin.Config, {"loss": loss, "penalty": penalty})
        assert (config.loss, config.penalty) == (loss, penalty)


@pytest.mark.parametrize("loss", LOSSES)
def test_label_smoothing_needs_a_loss_with_a_target(loss: str) -> None:
    chosen = {"loss": loss, "penalty": "r1", "real_label": 0.9}
    if loss in WITHOUT_TARGET:
        with pytest.raises(UsageError, match=rf"real_label=0.9 with loss={loss}: .*Choose real_label=1"):
            make(plugin.Config, chosen)
    else:
        assert make(plugin.Config, chosen).real_label == 0.9


def test_dcgan_drops_its_smoothing_for_a_loss_without_a_target_unless_asked() -> None:
    config_type = CARDS["dcgan"].Config
    assert make(config_type, {}).real_label == 0.9
    assert make(config_type, {"loss": "hinge"}).real_label == 1.0
    with pytest.raises(UsageError, match=r"real_label=0.9 with loss=hinge"):
        make(config_type, {"loss": "hinge", "real_label": 0.9})


@pytest.mark.parametrize("entry", registry.architectures(), ids=lambda entry: entry.name)
def test_class_variables_have_a_type_as_python_3_10_requires(entry: registry.Entry) -> None:
    annotations = [a for base in entry.card.Config.__mro__ for a in getattr(base, "__annotations__", {}).values()]
    assert "ClassVar" not in annotations


@pytest.mark.parametrize("value", [3, 3.0, "3", np.int64(3), np.float32(3), torch.tensor(3), np.array(3.0)])
def test_whole_numbers_of_any_kind_are_integers(value: Any) -> None:
    steps = make(TrainConfig, {"steps": value}).steps
    assert (steps, type(steps)) == (3, int)


@pytest.mark.parametrize("value", [3.5, np.float64(3.5), np.array([3, 4]), True, np.True_, [3], object()])
def test_other_values_are_no_integers(value: Any) -> None:
    with pytest.raises(UsageError, match=r"steps=.* is not valid"):
        make(TrainConfig, {"steps": value})


def test_devices_paths_and_arrays_are_what_they_say() -> None:
    made = make(TrainConfig, {"device": torch.device("cuda", 1), "data_dir": Path("/data"), "cuda_graph": np.False_})
    assert (made.device, made.data_dir, made.cuda_graph) == ("cuda:1", "/data", False)
