"""The published packages: our wheel, and a plugin package that gets it from an index (see conftest.py)."""

from __future__ import annotations

import email
import json
import re
import shlex
import shutil
import zipfile
from pathlib import Path

import pytest

import ganzoo
from tests.template.conftest import ROOT, Environment, ci_lines


@pytest.fixture(scope="module")
def wheel(wheels: Path) -> zipfile.ZipFile:
    (path,) = wheels.glob("ganzoo_core-*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_states_its_name_and_licence(wheel: zipfile.ZipFile) -> None:
    (info,) = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    metadata = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
    assert (metadata["Name"], metadata["License-Expression"]) == ("ganzoo-core", "MIT")
    assert "Copyright (c) 2026 The ganzoo authors" in wheel.read(f"{info}/licenses/LICENSE").decode()
    assert {"bench", "inception", "tensorboard"} <= set(metadata.get_all("Provides-Extra", []))
    assert "ganzoo = ganzoo.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()


def test_the_wheel_holds_what_is_compiled_or_copied_after_installation(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for folder, target in ((ROOT / "csrc", "ganzoo/csrc"), (ROOT / "ganzoo" / "template", "ganzoo/template")):
        files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        files = {name for name in files if not name.endswith(".pyc")}
        assert files
        assert {f"{target}/{name}" for name in files} <= names
    assert "ganzoo/py.typed" in names


def test_a_plugin_package_gets_ganzoo_from_the_index(installed: Environment, plugin: Path, tmp_path: Path) -> None:
    (info,) = installed.packages.glob("ganzoo_core-*")
    assert info.name == f"ganzoo_core-{ganzoo.__version__}.dist-info"
    assert installed.run("python -c 'import ganzoo; print(ganzoo.__file__)'", tmp_path).startswith(str(installed.path))
    rows = {row["name"]: row for row in json.loads(installed.run("ganzoo list --json", tmp_path))}
    assert (rows["fresh"]["distribution"], rows["fresh"]["error"]) == ("ganzoo-fresh", None)
    assert (rows["cgan"]["distribution"], rows["cgan"]["error"]) == ("ganzoo-core", None)


@pytest.mark.slow
def test_the_ci_of_a_new_plugin_package_is_green(installed: Environment, plugin: Path) -> None:
    _, *others = ci_lines(plugin)
    assert others == ["pytest"]
    for line in others:
        assert re.search(r"\d+ passed", installed.run(line, plugin))


@pytest.mark.slow
def test_the_installed_wheel_trains_and_samples(installed: Environment, tmp_path: Path) -> None:
    for architecture in ("cgan", "fresh"):
        installed.run(f"ganzoo train {architecture} --dataset digits --steps 20 --out {architecture}", tmp_path)
        installed.run(f"ganzoo sample {architecture} --seed 0 --out {architecture}.png", tmp_path)
        assert (tmp_path / f"{architecture}.png").stat().st_size


PARTS = """
import torch
import torch.nn.functional as F
from ganzoo import Callback
from ganzoo.data.modalities.images import Images
from ganzoo.evaluation.metrics import Metric, MetricResult, MetricValue
from ganzoo.losses import Loss, in_terms

loss = Loss(
    in_terms(lambda real, label=1.0: F.softplus(label - real).mean(), lambda fake: F.softplus(1 + fake).mean()),
    lambda fake: -fake.mean(),
)


def penalty(discriminator, real, fake, generator=None):
    images = fake.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    return gradient.flatten(1).square().sum(1).mean()


def augmentation(images, rng):
    return images * 0.9


class Brightness(Metric):
    summary = "mean value"
    paper = "none"

    def measure(self, context):
        value, real = (float(side.values.mean()) for side in (context.samples, context.reference))
        return MetricResult({self.name: MetricValue(value, "real", real)}, context.protocol())


class Lines(Callback):
    def on_start(self, training):
        self.file = training.run.path / "lines.txt"

    def on_metrics(self, row):
        self.file.write_text(str(row["step"]))


class Maps(Images):
    noun = "maps"
"""
CARDS = """
from ganzoo.plugin import Dataset
from ganzoo_plugins.vanilla import Vanilla


class Mine(Vanilla):
    api_version = 2
    kinds = ("zoo_modality",)


class Data(Dataset):
    api_version = 2
    summary = "noise"
    source = "generated, public domain"
    kind = "zoo_modality"

    def load(self, where, split, image_size, argument):
        import numpy as np
        from ganzoo.data import ArrayData

        values = np.random.default_rng(split == "test").integers(0, 256, (64, 1, 8, 8), dtype=np.uint8)
        return ArrayData(values, "zoo_dataset", split, modalities={"target": "zoo_modality"})
"""
GROUPS = {
    "architecture": "cards:Mine",
    "dataset": "cards:Data",
    "modality": "parts:Maps",
    "loss": "parts:loss",
    "penalty": "parts:penalty",
    "augmentation": "parts:augmentation",
    "metric": "parts:Brightness",
    "logger": "parts:Lines",
}
CHECKED = ("dataset", "modality", "loss", "penalty", "augmentation", "metric", "logger")
COMMANDS = """
import json, shlex, sys
from ganzoo.cli import main

def run(words):
    sys.argv = ["ganzoo", *shlex.split(words)]
    try:
        main()
    except SystemExit as end:
        return end.code or 0

codes = [run(words) for words in sys.argv[1:]]
print("codes", json.dumps(codes))
"""


@pytest.fixture(scope="module")
def zoo(installed: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with a plugin of every group, called zoo_KIND, installed by pip; the folder of its modules."""
    source = tmp_path_factory.mktemp("ganzoo-every")
    (source / "ganzoo_every").mkdir()
    for name, text in {"__init__": "", "parts": PARTS, "cards": CARDS}.items():
        (source / "ganzoo_every" / f"{name}.py").write_text(text)
    shutil.copytree(ROOT / "plugins/ganzoo_models/vanilla_ring", source / "ganzoo_every" / "model")
    plural = {"penalty": "penalties", "loss": "losses", "modality": "modalities"}
    points = [
        f'[project.entry-points."ganzoo.{plural.get(kind, f"{kind}s")}"]\nzoo_{kind} = "ganzoo_every.{place}"\n'
        for kind, place in GROUPS.items()
    ]
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "ganzoo-every"\nversion = "1.0"\ndependencies = ["ganzoo-core"]\n'
        '[tool.setuptools]\npackages = ["ganzoo_every"]\npackage-data = { ganzoo_every = ["model/**"] }\n'
        + "".join(points)
        + '[project.entry-points."ganzoo.models"]\nzoo-model = "ganzoo_every:model"\n'
    )
    installed.run("pip install .", source)
    return installed.packages / "ganzoo_every"


def commands(environment: Environment, folder: Path, *words: str) -> tuple[list[int], str]:
    """The exit codes of ganzoo commands, run one after the other in one process, and what they printed."""
    printed = environment.run(f"python -c {shlex.quote(COMMANDS)} {shlex.join(words)} 2>&1", folder)
    return json.loads(printed.rpartition("codes ")[2]), printed


@pytest.mark.slow
def test_a_plugin_of_every_group_is_listed_used_and_checked(installed: Environment, zoo: Path, tmp_path: Path) -> None:
    rows = json.loads(installed.run("ganzoo list --all --json", tmp_path))
    ours = {row["name"]: row["status"] for row in rows if row["distribution"] == "ganzoo-every"}
    assert ours.keys() == {*(f"zoo_{kind}" for kind in GROUPS), "zoo-model"}
    assert set(ours.values()) <= {"ok", "installed"}
    settings = " ".join(f"--set {kind}=zoo_{kind}" for kind in ("loss", "penalty"))
    codes, printed = commands(
        installed,
        tmp_path,
        f"train zoo_architecture --dataset zoo_dataset {settings} --logger zoo_logger --steps 1 --out run",
        "train vanilla --dataset digits --set augmentation=zoo_augmentation --steps 1 --out images",
        "evaluate run --metrics zoo_metric --samples 20",
        "sample run --count 4 --out maps.png",
        "sample zoo-model --count 4 --out points.png",
        *(f"check --{kind} zoo_{kind}" for kind in CHECKED),
        "check --model zoo-model",
    )
    assert codes == [0] * (6 + len(CHECKED)), printed
    assert "4 maps written to maps.png" in printed
    assert (tmp_path / "run/lines.txt").read_text() == "1"
    assert "zoo_metric" in json.loads((tmp_path / "run/evaluation.json").read_text())["findings"]


@pytest.mark.slow
def test_a_broken_module_breaks_its_own_plugins_only(installed: Environment, zoo: Path, tmp_path: Path) -> None:
    whole = (zoo / "parts.py").read_text()
    (zoo / "parts.py").write_text("raise RuntimeError('stuck')\n")
    vanilla = "train vanilla --dataset digits --steps 1 --set generator_widths=8"
    uses = [
        "train zoo_architecture --dataset zoo_dataset --steps 1 --out modality",
        *(f"{vanilla} --set {kind}=zoo_{kind} --out {kind}" for kind in ("loss", "penalty", "augmentation")),
        f"{vanilla} --logger zoo_logger --out logger",
    ]
    try:
        codes, printed = commands(
            installed, tmp_path, *uses, f"{vanilla} --out run", "evaluate run --metrics swd,ms_ssim --samples 20",
            "evaluate run --metrics zoo_metric", "list --all", "sample zoo-model --count 4 --out points.png",
        )  # fmt: skip
    finally:
        (zoo / "parts.py").write_text(whole)
    assert codes[len(uses)] == codes[-1] == codes[-2] == 0, printed
    assert all(codes[: len(uses)]), printed
    assert codes[-3], printed
    assert printed.count("ganzoo-every") >= len(uses) + 1, printed
    assert printed.count("stuck") >= len(uses) + 1, printed
    assert {path.name for path in tmp_path.iterdir()} == {"run", "points.png"}
