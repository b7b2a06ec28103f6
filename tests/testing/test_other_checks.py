"""The checks of other plugins than architectures and data sets: good ones pass, each mistake fails the check for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ganzoo.core import models, registry
from ganzoo.core.entry_points import AUGMENTATIONS, MODALITIES, MODELS, PENALTIES
from ganzoo.evaluation.metrics import swd
from ganzoo.testing import (
    augmentation_checks,
    logger_checks,
    metric_checks,
    modality_checks,
    model_checks,
    penalty_checks,
    run,
)
from ganzoo.testing.kit import CheckError
from ganzoo.testing.models import ModelFixture, card, samples, weights
from tests.conftest import Site

CODE = """
    import torch
    import numpy as np
    from ganzoo import Callback
    from ganzoo.data.modalities.audio import Audio
    from ganzoo.data.modality import Modality
    from ganzoo.augmentations import Augmentation, normal, uniform
    from ganzoo.evaluation.metrics import Metric, MetricResult, MetricValue, Need
    from ganzoo.penalties import r1_penalty

    # penalties
    def zero(discriminator, real, fake, rng=None):
        return 0 * discriminator(real).sum()

    def each(discriminator, real, fake, rng=None):
        return discriminator(real).square()

    def detached(discriminator, real, fake, rng=None):
        return discriminator(real).detach().square().mean().requires_grad_()

    def unseeded(discriminator, real, fake, rng=None):
        return discriminator(real + 0.1 * torch.randn_like(real)).square().mean()

    # augmentations
    def bright(images, rng):
        return images + 0.2 * normal(images, 1, 1, 1, rng=rng).to(images.dtype)

    def promoted(images, rng):
        return images + normal(images, 1, 1, 1, rng=rng)

    def cropped(images, rng):
        return images[:, :, 1:-1, 1:-1]

    def blind(images, rng):
        return images.detach()

    def global_noise(images, rng):
        return images + 0.1 * torch.randn_like(images)

    def peeking(images, rng):
        return images if images.mean() > 0 else -images

    class Forgetful(Augmentation):
        p = 0.0

        def forward(self, images, rng):
            return images * (1 - self.p)

        def adapt(self, overfitting, images):
            self.p = 0.5

    # metrics
    class Good(Metric):
        summary = "mean pixel value, 0 to 255"
        paper = "none"

        def measure(self, context):
            samples, real = (float(images.values.mean()) for images in (context.samples, context.reference))
            return MetricResult({"x": MetricValue(samples, "real", real=real)}, context.protocol())

    class NoSummary(Good):
        summary = ""

    class Nowhere(Good):
        needs = (Need.IMAGES, Need.POINTS)

    class NoReal(Good):
        def measure(self, context):
            return MetricResult({"x": MetricValue(1.0, "real")}, {})

    class Tensors(Good):
        def measure(self, context):
            return MetricResult({"x": MetricValue(1.0, "lower")}, {"shape": torch.Size})

    class Random(Good):
        def measure(self, context):
            return MetricResult({"x": MetricValue(torch.rand(()).item(), "lower")}, {})

    class Points(Good):
        needs = (Need.POINTS,)

    class Loudness(Good):
        needs = ()

        def inapplicable_reason(self, context):
            audio = context.data.spec.kind == "audio"
            return super().inapplicable_reason(context) if audio else "needs recordings"

        def measure(self, context):
            sets = (context.samples, context.reference)
            samples, real = (float(np.square(each.values, dtype=float).mean()) for each in sets)
            return MetricResult({"x": MetricValue(samples, "real", real=real)}, context.protocol())

    # modalities
    class Sound(Audio): ...

    class Endless(Audio):
        def made_up(self, field, count, rng):
            return super().made_up(field, count, np.random.default_rng())

    class Unscaled(Audio):
        def encode(self, values, field):
            return values.float()

    class Truncating(Audio):
        def decode(self, outputs, field):
            return (outputs.float() * 32768).clamp(-32768, 32767).mul(0.99).to(torch.int16)

    class Doubles(Audio):
        def decode(self, outputs, field):
            made = super().decode(outputs, field)
            return made.double() if outputs.dtype == torch.float64 else made

    class Grey(Audio):
        def images(self, values, field):
            return super().images(values, field).float()

    class Vague(Audio):
        example = Modality.example

    class Silent(Audio):
        def write(self, values, field, path, text):
            pass

    # loggers
    class Quiet(Callback): ...

    class Loud(Callback):
        def on_metrics(self, row):
            print(row["step"])

    class Crashing(Callback):
        def on_samples(self, path):
            pass
"""
GROUPS = {
    "penalties": ("zero", "each", "detached", "unseeded"),
    "augmentations": ("bright", "promoted", "cropped", "blind", "global_noise", "peeking", "Forgetful"),
    "metrics": ("Good", "NoSummary", "Nowhere", "NoReal", "Tensors", "Random", "Points", "Loudness"),
    "loggers": ("Quiet", "Loud", "Crashing"),
    "modalities": ("Sound", "Endless", "Unscaled", "Truncating", "Doubles", "Grey", "Silent", "Vague"),
}
CHECKS: dict[str, Callable[[str], object]] = {
    "penalties": penalty_checks,
    "augmentations": augmentation_checks,
    "metrics": metric_checks,
    "loggers": logger_checks,
    "modalities": modality_checks,
}


@pytest.fixture
def mine(site: Site, install: Callable[[Site], None]) -> None:
    groups = {group: {name.lower(): name for name in names} for group, names in GROUPS.items()}
    site.add("ganzoo-mine", CODE, **groups)  # type: ignore[arg-type]
    install(site)


@pytest.mark.parametrize("name", registry.names(PENALTIES))
def test_the_built_in_penalties_pass(name: str) -> None:
    assert {run(check).status for check in penalty_checks(name)} == {"ok"}


@pytest.mark.parametrize("name", registry.names(AUGMENTATIONS))
def test_the_built_in_augmentations_pass(name: str) -> None:
    assert {run(check).status for check in augmentation_checks(name)} == {"ok"}


@pytest.mark.parametrize("name", ["swd", "ms_ssim", "modes", "psnr"])
def test_built_in_metrics_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swd, "DIRECTIONS", 64)
    results = [run(check) for check in metric_checks(name)]
    assert {result.status for result in results} == {"ok"}, [str(result.error) for result in results]


def test_the_built_in_logger_passes() -> None:
    assert {run(check).status for check in logger_checks("tensorboard")} == {"ok"}


@pytest.mark.parametrize("name", registry.names(MODALITIES))
def test_the_built_in_modalities_pass(name: str) -> None:
    assert {run(check).status for check in modality_checks(name)} == {"ok"}


@pytest.mark.parametrize("name", registry.names(MODELS))
def test_the_models_that_come_with_it_pass(name: str) -> None:
    assert {run(check).status for check in model_checks(name)} == {"ok"}


def test_a_model_that_is_damaged_or_names_a_machine_fails(tmp_path: Path) -> None:
    folder = models.find("vanilla-ring")
    assert folder is not None
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    fixture = ModelFixture("mine", copy)
    (copy / "CARD.md").write_text((copy / "CARD.md").read_text() + "made in /home/ann/runs")
    with pytest.raises(CheckError, match=r"CARD\.md has a path of the machine"):
        card.function(fixture)
    (copy / "CARD.md").unlink()
    with pytest.raises(CheckError, match=r"CARD\.md is missing"):
        card.function(fixture)
    file = next(copy.glob("checkpoints/*/ema.safetensors"))
    file.write_bytes(file.read_bytes()[:-1])
    for rule in (weights, samples):
        with pytest.raises(CheckError, match="it cannot be loaded"):
            rule.function(fixture)


@pytest.mark.parametrize(
    ("group", "name", "check", "problem"),
    [
        ("penalties", "zero", "gradients", "no gradient reaches the discriminator"),
        ("penalties", "each", "scalar", "it returns [8], expected a scalar"),
        ("penalties", "detached", "gradients", "no gradient reaches the discriminator"),
        ("penalties", "unseeded", "seed", "it differs when it is computed twice"),
        ("augmentations", "bright", "", ""),
        ("augmentations", "promoted", "shapes", "torch.bfloat16, it makes [16, 1, 8, 8], torch.float32"),
        ("augmentations", "cropped", "shapes", "it makes [16, 1, 6, 6]"),
        ("augmentations", "blind", "differentiable", "no gradient reaches the images"),
        ("augmentations", "global_noise", "seed", "it draws from the global random state"),
        ("augmentations", "peeking", "no_sync", "it reads values back: _local_scalar_dense"),
        ("augmentations", "forgetful", "state", "gives other images"),
        ("metrics", "good", "", ""),
        ("metrics", "points", "", ""),
        ("metrics", "loudness", "", ""),
        ("metrics", "nosummary", "metadata", "summary is ''"),
        ("metrics", "nowhere", "applies", "it applies to none of the examples: it needs points"),
        ("metrics", "noreal", "values", "better if closer to that of real data, which is not given"),
        ("metrics", "tensors", "values", "protocol and details cannot be stored"),
        ("metrics", "random", "repeatable", "measured twice, x is"),
        ("loggers", "quiet", "", ""),
        ("loggers", "loud", "stdout", "it prints '1'"),
        ("loggers", "crashing", "training", "takes 2 positional arguments but 3 were given"),
        ("modalities", "sound", "", ""),
        ("modalities", "endless", "made_up", "the same random generator makes up different examples"),
        ("modalities", "unscaled", "encode", "`encode` returns values from"),
        ("modalities", "truncating", "decode", "`decode` does not give back what was encoded"),
        (
            "modalities",
            "doubles",
            "decode",
            "returns torch.float64 for outputs of torch.float64, where data are torch.int16",
        ),
        ("modalities", "grey", "picture", "`images` returns torch.float32"),
        ("modalities", "vague", "made_up", "it has no `example`"),
        ("modalities", "silent", "write", "`write` makes no file for 1 examples"),
    ],
)
def test_a_mistake_is_named_by_the_check_for_it(group: str, name: str, check: str, problem: str, mine: None) -> None:
    failed = {r.check.name: r.error for r in map(run, CHECKS[group](name)) if r.status != "ok"}  # type: ignore[arg-type, call-overload]
    if not check:
        assert not failed
    else:
        assert check in failed
        assert problem in failed[check].problem
        assert failed[check].change
