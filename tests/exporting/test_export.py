"""Every architecture, exported and run without ganzoo, draws what the run draws."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ganzoo
from ganzoo.config import setting
from ganzoo.core import registry
from ganzoo.core.errors import GanzooError
from ganzoo.core.spec import DataSpec
from ganzoo.data.normalization import decode
from ganzoo.exporting import onnx, pt2
from ganzoo.exporting.generator import SAMPLES, TOLERANCE, Generator
from ganzoo.gan import GAN
from ganzoo.gan.sampling import sampling_with
from ganzoo.plugin import Sampling
from tests.conftest import Command, Site
from tests.test_architectures import SIBLINGS, SMALL

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

BUILT_IN = [e.name for e in registry.architectures() if e.distribution == registry.OWN_DISTRIBUTION]
FORMATS = {"onnx": onnx.convert, "pt2": pt2.convert}


@pytest.fixture(autouse=True, scope="module")
def one_table() -> Iterator[None]:
    """torch rebuilds its table of ONNX functions for every export, which takes half a second."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield


def build(name: str, kind: str = "images") -> GAN:
    """A tiny GAN with weights and running statistics that make its images differ."""
    card = registry.get_architecture(name).card
    known = {setting: value for setting, value in SMALL.items() if setting in card.Config.__dataclass_fields__}
    spec = DataSpec(1, 8, 3 if card.conditional else 0, 2 if card.paired else 0)
    config = ganzoo.core.config.make(card.Config, {**card.check_settings, **known}, kind)
    spec = (card.example(config) or spec) if kind == "images" else DataSpec(2, 0, scale=3.0)
    torch.manual_seed(0)
    gan: GAN = card.build(config, spec).eval()
    gan.sampling_type = card.Sampling
    rng = torch.Generator().manual_seed(0)
    for name, tensor in gan.generator.state_dict().items():
        if tensor.is_floating_point() and not name.endswith(("._u", "._v")):  # spectral norm's unit vectors
            noise = torch.rand(tensor.shape, generator=rng)
            tensor.copy_(noise + 0.5 if name.endswith("running_var") else tensor + 0.2 * (noise - 0.5))
    return gan


def run(to: str, content: bytes, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    if to == "onnx":
        return onnx.run(content, inputs)
    result: torch.Tensor = torch.export.load(io.BytesIO(content)).module()(*inputs.values())
    return result


def check(gan: GAN) -> None:
    generator = Generator(gan)
    generator.program = functools.cache(generator.program)  # type: ignore[method-assign]  # the same for both formats
    for to, convert in FORMATS.items():
        content, difference = convert(generator, {"architecture": "x"})
        assert difference <= TOLERANCE
        inputs = generator.example(5, seed=7)
        condition = [value for name, value in inputs.items() if name != "z" and name not in generator.settings]
        with torch.no_grad(), sampling_with(gan, {}):
            expected = gan.generate(inputs["z"], *condition) * gan.spec.scale
        assert expected.std() > 1e-3, "images that are all alike would show nothing"
        torch.testing.assert_close(run(to, content, inputs), expected, rtol=0, atol=1e-5 * gan.spec.scale)


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name not in SIBLINGS])
def test_every_architecture(name: str) -> None:
    check(build(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", SIBLINGS)
def test_every_sibling(name: str) -> None:
    check(build(name))


def test_points() -> None:
    check(build("vanilla", "points"))


@pytest.mark.parametrize(
    ("package", "name"), [("ganzoo-sngan", "sngan-cnn"), ("ganzoo-pix2pix", "ganzoo-pix2pix:pix2pix")]
)
def test_packages(installed: Callable[[str], Site], package: str, name: str) -> None:
    installed(package)
    check(build(name))


@pytest.mark.parametrize("name", ["vanilla", "cgan"])
def test_torch_exports_a_gan_by_itself(name: str) -> None:
    """Without ganzoo's help, at the sizes for which there are native kernels."""
    card = registry.get_architecture(name).card
    spec = DataSpec(1, 28, 10 if card.conditional else 0)
    gan = card.build(card.Config(), spec).eval()
    z, labels = gan.latent(16), gan.class_labels(16)
    arguments = (z,) if labels is None else (z, labels)
    model = torch.onnx.export(gan.generator, arguments, input_names=["z", "labels"][: len(arguments)], verbose=False)
    assert model is not None
    with torch.no_grad():
        expected = gan.generator(*arguments)
    names = ("z", "labels")
    found = onnx.run(model.model_proto.SerializeToString(), dict(zip(names, arguments)))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@dataclass(frozen=True, kw_only=True)
class Truncation(Sampling):
    truncation: float = setting(0.9, "factor of the noise")


class Truncated(GAN):
    sampling_type = Truncation

    def generate(self, z: Any, condition: Any = None) -> Any:
        return super().generate(z * self.sampling.truncation, condition)


def truncated() -> GAN:
    gan = build("vanilla")
    return Truncated(gan.generator, gan.discriminator, gan.config, gan.spec).eval()


@pytest.mark.parametrize("to", FORMATS)
def test_settings_of_sampling_are_inputs(to: str) -> None:
    gan = truncated()
    generator = Generator(gan)
    content, _ = FORMATS[to](generator, {})
    inputs = generator.example(4) | {"truncation": torch.tensor(0.5)}
    with torch.no_grad():
        expected = gan.generator(inputs["z"] * 0.5)
    torch.testing.assert_close(run(to, content, inputs), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("to", FORMATS)
def test_uint8(to: str) -> None:
    gan = build("cgan")
    generator = Generator(gan, uint8=True)
    content, difference = FORMATS[to](generator, {})
    inputs = generator.example(32, seed=3)
    with torch.no_grad():
        images = gan.generate(inputs["z"], inputs["labels"])
    found = run(to, content, inputs)
    assert found.dtype == torch.uint8
    assert difference <= TOLERANCE
    assert int((found.int() - decode(images, gan.spec).int()).abs().max()) <= 1


def test_what_is_a_pixel_off_is_refused() -> None:
    gan = build("cgan")
    generator = Generator(gan, uint8=True)

    def wrong(inputs: Any) -> torch.Tensor:
        pixels = generator(*inputs.values())
        pixels[-1, 0, 0, 0] ^= 1
        return pixels

    assert generator.difference(lambda inputs: generator(*inputs.values())) <= TOLERANCE
    with pytest.raises(GanzooError, match=rf"differs from the run by 0\.00\d+ on {SAMPLES} samples"):
        generator.difference(wrong)


@pytest.mark.parametrize("wrong", [1e-4, float("nan")])
def test_disagreement_is_refused(wrong: float) -> None:
    generator = Generator(build("vanilla"))
    with pytest.raises(GanzooError, match=r"more than 1e-05. Nothing was written"):
        generator.difference(lambda inputs: generator(*inputs.values()) + wrong)


def test_an_untraceable_generator_is_refused_in_one_message() -> None:
    class Untraceable(GAN):
        def generate(self, z: Any, condition: Any = None) -> Any:
            return super().generate(z[: int(z.sum())])

    gan = build("vanilla")
    generator = Generator(Untraceable(gan.generator, gan.discriminator, gan.config, gan.spec).eval())
    with pytest.raises(GanzooError, match="This generator cannot be exported: "):
        generator.program()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "tiny"
    settings: dict[str, Any] = {"networks": "mlp", "generator_widths": (16,), "discriminator_widths": (16,)}
    return ganzoo.train("cgan", dataset="digits", steps=2, out=out, settings=settings, callbacks=[]).path


def test_the_command(ganzoo_cli: Command, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx as onnx_package

    monkeypatch.chdir(tmp_path)
    for to in FORMATS:
        result = ganzoo_cli("export", trained, "--to", to)
        assert result.code == 0, result.err
        assert f"tiny.{to} written" in result.out
        assert "labels  int64 [N]: classes, 0 to 9" in result.out
    model = onnx_package.load("tiny.onnx")
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["command"].startswith("ganzoo train cgan --dataset digits --steps 2 --seed 0 --precision fp32 --set ")
    assert "generator_widths=16" in facts["command"]
    assert json.loads(facts["dataset"])["sha256"] == ganzoo.Run.open(trained).config["dataset"]["sha256"]
    extra = {"ganzoo.json": ""}
    program = torch.export.load("tiny.pt2", extra_files=extra)
    assert json.loads(extra["ganzoo.json"])["weights_sha256"] == facts["weights_sha256"]
    assert not [name for name in program.state_dict if "discriminator" in name]
    gan = ganzoo.load(trained)
    z, labels = gan.latent(3), torch.tensor([3, 1, 4])
    feed = {"z": z, "labels": labels}
    with torch.no_grad():
        np.testing.assert_allclose(onnx.run(Path("tiny.onnx").read_bytes(), feed), gan.generate(z, labels), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "tflite"], "is not one of"),
        (
            ["--to", "onnx", "--out", "model.pt2"],
            "model.pt2: exporting to onnx writes a file whose name ends in .onnx.",
        ),
        (["--to", "onnx", "--out", "missing/model.onnx"], "The directory missing does not exist."),
    ],
)
def test_bad_requests(ganzoo_cli: Command, trained: Path, arguments: list[str], message: str) -> None:
    result = ganzoo_cli("export", trained, *arguments)
    assert result.code == 2
    assert message in result.err


def test_a_missing_package_is_named(ganzoo_cli: Command, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "PACKAGES", ("onnx", "surely_missing"))
    result = ganzoo_cli("export", trained, "--to", "onnx")
    assert result.code == 1
    assert result.err.endswith(
        "Error: Exporting to ONNX needs surely_missing. Install with: pip install 'ganzoo-core[onnx]'\n"
    )
