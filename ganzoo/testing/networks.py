"""Checks of the networks: shapes, ranges, conditions, random numbers, and PyTorch's execution modes."""

from __future__ import annotations

import copy
import re
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.gan import GAN
from ganzoo.gan.condition import map_condition
from ganzoo.testing.fixtures import CLASSES, ArchitectureFixture
from ganzoo.testing.kit import CheckError, first_line, rule
from ganzoo.training.state import TrainingState
from ganzoo.training.state_snapshot import Snapshot

IMAGE_SHAPES = ((1, 8, 10), (3, 16, 1), (1, 28, 10), (3, 32, 100), (3, 64, 2))
POINT_SHAPES = ((2, 0, 10), (5, 0, 3))
ODD_SIZES = (1, 7, 29, 36)
N = 4
"""The batch size of most checks."""


@rule("derive the layers from spec.channels, spec.size and spec.classes.")
def shapes(fixture: ArchitectureFixture) -> None:
    """Images and logits have the right shapes for any size, channels and classes."""
    shapes = {"images": IMAGE_SHAPES, "points": POINT_SHAPES}
    for shape in (shape for kind in fixture.card.kinds for shape in shapes.get(kind, ())):
        try:
            gan = fixture.build(fixture.spec(*shape))
        except UsageError:
            continue  # a refusal is allowed; `impossible_size` checks its message
        _check_shapes(fixture, gan)
    _check_shapes(fixture, fixture.build())
    latent_dim = 2 * fixture.config(fixture.smallest.kind).latent_dim
    if "latent_dim" not in fixture.overrides:
        try:
            gan = fixture.build(latent_dim=latent_dim)
        except UsageError:
            return  # such as a number of codes that must fit
        try:
            _check_shapes(fixture, gan)
        except (RuntimeError, ValueError) as error:
            raise CheckError(
                f"with latent_dim={latent_dim}: {first_line(error)}", "derive the layers from config.latent_dim."
            ) from error


@rule("end the generator with tanh.")
def output_range(fixture: ArchitectureFixture) -> None:
    """Images stay within -1 and 1 for any noise, and differ."""
    gan = fixture.build().eval()
    torch.manual_seed(1)
    z, condition = gan.latent(32), fixture.condition(gan, 32)
    if not fixture.card.paired:
        condition = map_condition(lambda part: part[:1].expand_as(part), condition)
    lowest = 0.0
    for scale in (1.0, 1000.0):
        images = gan.generate(z * scale, condition)
        bound = 1 if gan.spec.kind == "images" else float("inf")
        if not images.isfinite().all() or images.abs().max() > bound:
            raise CheckError(f"the generator's images range from {images.min().item():g} to {images.max().item():g}")
        lowest = min(lowest, images.min().item())
    if gan.spec.kind == "images" and lowest >= 0:
        raise CheckError("none of the generator's pixels is below 0, though images are within -1 and 1")
    if (images - images[:1]).abs().max() == 0:
        raise CheckError(
            "32 noise vectors give 32 identical images", "use the noise z in the generator, and draw each row of it."
        )


@rule("return the last layer's output without an activation: losses that need a sigmoid apply it.")
def logits(fixture: ArchitectureFixture) -> None:
    """The discriminator returns finite logits, not probabilities."""
    gan = fixture.build().eval()
    torch.manual_seed(1)
    scores = fixture.extreme_logits(gan)
    if not scores.isfinite().all():
        raise CheckError("some logits are not finite", "look for an unbounded division or logarithm.")
    if scores.min() >= 0 and scores.max() <= 1:
        raise CheckError(f"for large inputs its values lie between {scores.min():g} and {scores.max():g}")


@rule("use the condition in the generator and the discriminator, or declare neither conditional nor paired.")
def condition(fixture: ArchitectureFixture) -> None:
    """The networks that the card says are steered depend on the condition, labels or input images."""
    unknown = set(fixture.card.steers) - {"generator", "discriminator"}
    if unknown:
        raise CheckError(f"steers names {unknown.pop()!r}", "name the generator, the discriminator, or both.")
    state = fixture.state()
    gan = state.gan
    if fixture.condition(gan, N) is None:
        return
    for _ in range(3):  # conditioning may start as the identity
        fixture.step(state)
    z, first = gan.eval().latent(N * CLASSES), fixture.condition(gan, N * CLASSES)
    kind = "inputs" if fixture.card.paired else "labels"
    if "generator" in fixture.card.steers and torch.equal(gan.generate(z, first), gan.generate(z, _rolled(first))):
        raise CheckError(f"different {kind} give the same images")
    if "discriminator" in fixture.card.steers and _losses(fixture, state, False) == _losses(fixture, state, True):
        raise CheckError(f"different {kind} for the same images give the same losses")


@rule("draw random numbers in build() from torch's global state, and noise from the rng passed in.")
def seed(fixture: ArchitectureFixture) -> None:
    """The seed determines weights and samples, and sampling has no side effects."""
    first, repeated, other = (fixture.build(seed=seed) for seed in (0, 0, 1))
    different = _different_tensor(first, repeated)
    if different:
        raise CheckError(f"{different} differs when built twice from the same seed")
    if _different_tensor(first, other) is None:
        raise CheckError("a different seed gives the same weights", "initialise weights with torch.nn.init.")
    first.train()
    modes, state = [module.training for module in first.modules()], torch.get_rng_state()
    same = torch.equal(fixture.sample(first, N, seed=0), fixture.sample(repeated, N, seed=0))
    if not torch.equal(torch.get_rng_state(), state):
        raise CheckError("sample(seed=0) draws from the global random state")
    if not same:
        raise CheckError("the same seed gives different samples")
    if [module.training for module in first.modules()] != modes:
        raise CheckError("sample() changes the networks' train and eval modes", "use ganzoo.gan.evaluating.")
    _check_shapes(fixture, first)
    if [module.training for module in first.modules()] != modes:
        raise CheckError(
            "forward() changes the networks' train and eval modes", "leave calls of train() and eval() to the caller."
        )


@rule("store everything the output depends on in parameters and buffers, and no tensor under two names.")
def safetensors(fixture: ArchitectureFixture) -> None:
    """Weights saved to a file and loaded give the same images."""
    gan, loaded = fixture.build(seed=0), fixture.build(seed=1)
    gan.generate(gan.latent(N), fixture.condition(gan, N))  # updates running statistics
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in gan.state_dict().items()}, file)
        loaded.load_state_dict(load_file(file))
    _same_outputs(fixture, gan.eval(), loaded.eval(), "after loading from safetensors", 0.0)


@rule("index dimensions as [N, C, H, W], and use reshape or flatten instead of view.")
def channels_last(fixture: ArchitectureFixture) -> None:
    """The networks compute the same in the channels_last memory format."""
    if fixture.smallest.kind != "images":
        return
    try:  # with one channel both formats have the same layout
        gan = fixture.build(fixture.spec(3, fixture.smallest.size))
    except UsageError:
        gan = fixture.build()
    other = copy.deepcopy(gan).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    _same_outputs(fixture, other, gan, "in channels_last")


@rule("replace Python code that depends on tensor values, and calls that torch.compile cannot trace.")
def compile(fixture: ArchitectureFixture) -> None:
    """torch.compile traces each network as a single graph that computes the same."""
    gan = fixture.build()
    other = copy.deepcopy(gan)
    torch._dynamo.reset()
    try:
        for name in ("generator", "discriminator"):
            network: nn.Module = getattr(other, name)
            network.forward = torch.compile(network.forward, backend="aot_eager", fullgraph=True)  # type: ignore[method-assign]
        _same_outputs(fixture, gan, other, "under torch.compile")
    except torch._dynamo.exc.TorchDynamoException as failure:
        places = re.findall(r'File "(.+)", line (\d+)', str(failure))
        raise CheckError(
            f"{str(failure).splitlines()[0]} ({':'.join(places[-1])})" if places else str(failure)
        ) from failure
    finally:
        torch._dynamo.reset()


@rule("raise ganzoo.errors.UsageError from build() for a size that the networks do not support.")
def impossible_size(fixture: ArchitectureFixture) -> None:
    """An unsupported size is refused, and the message names one that is supported."""
    smallest = fixture.smallest
    for size in ODD_SIZES if smallest.kind == "images" and smallest == fixture.spec(*smallest.shape[:2]) else ():
        try:
            gan = fixture.build(fixture.spec(fixture.smallest.channels, size))
        except UsageError as refusal:
            _check_refusal(fixture, size, str(refusal))
        else:
            _check_shapes(fixture, gan)


def _rolled(condition: Any) -> Any:
    """The condition of the next example for every one; codes and several conditions are dicts of tensors."""
    if isinstance(condition, dict):
        return {name: _rolled(value) for name, value in condition.items()}
    return condition.roll(1, 0)


def _losses(fixture: ArchitectureFixture, state: TrainingState, rolled: bool) -> dict[str, float]:
    """What a step logs of its losses, from the same images whatever the condition, which may be `rolled`."""
    gan, given, before = state.gan, state.gan.condition, Snapshot(state)
    images: dict[int, Tensor] = {}

    def generate(z: Tensor, condition: Any) -> Tensor:
        fake = type(gan).generate(gan, z, condition)
        return images.setdefault(len(fake), torch.rand_like(fake)).detach() + 0 * fake

    def condition(*args: Any) -> Any:
        value = given(*args)
        return _rolled(value) if rolled else value

    gan.generate, gan.condition = generate, condition  # type: ignore[method-assign, assignment]
    torch.manual_seed(0)
    try:
        logs = fixture.step(state)
    finally:
        del gan.generate, gan.condition
    before.restore(state)
    state.step -= 1
    return {name: float(value) for name, value in logs.items() if name.endswith("_loss")}


def _check_refusal(fixture: ArchitectureFixture, size: int, refusal: str) -> None:
    change = f'end the message with a size that works: "Set image_size={fixture.smallest.size} instead."'
    proposed = re.search(r"image_size=(\d+)", refusal)
    if proposed is None:
        raise CheckError(f"the error for {size} pixels names no image_size that works: {refusal}", change)
    try:
        fixture.build(fixture.spec(fixture.smallest.channels, int(proposed[1])))
    except UsageError:
        raise CheckError(
            f"the error for {size} pixels proposes {proposed[1]}, which is refused as well", change
        ) from None


def _check_shapes(fixture: ArchitectureFixture, gan: GAN) -> None:
    spec: DataSpec = gan.spec
    images: Any = gan.generate(gan.latent(N), fixture.condition(gan, N))
    expected = (N, *spec.shape)
    _check_tensor("generator", images)
    if images.shape != expected:
        raise CheckError(f"the generator returns {list(images.shape)}, expected {list(expected)}")
    if not fixture.judges_images:
        return
    logits: Any = fixture.logits(gan, images)
    _check_tensor("discriminator", logits)
    if not logits.dim() or N % len(logits) or logits.shape == (1, N):
        raise CheckError(
            f"the discriminator returns {list(logits.shape)} for {N} images, expected [{N}] or [{N}, ...]",
            "return one logit for each image, for each patch, or for each group of images.",
        )


def _check_tensor(network: str, output: object) -> None:
    if not isinstance(output, Tensor) or output.dtype == torch.float64:
        actual = output.dtype if isinstance(output, Tensor) else type(output).__name__
        raise CheckError(f"the {network} returns {actual}, expected a tensor of type float32", "return one, .float().")


def _different_tensor(first: nn.Module, other: nn.Module) -> str | None:
    """The name of a tensor that differs between two networks of the same architecture, or None."""
    left, right = first.state_dict(), other.state_dict()
    return next((name for name in left if name not in right or not torch.equal(left[name], right[name])), None)


def _same_outputs(fixture: ArchitectureFixture, gan: GAN, other: GAN, when: str, tolerance: float = 1e-3) -> None:
    """Compare images, logits and gradients of both, computed from the same random state."""
    results: list[dict[str, Tensor]] = []
    for each in (gan, other):
        for module in each.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.eval()  # dropout masks depend on the memory format
        torch.manual_seed(2)
        z, condition = each.latent(N), fixture.condition(each, N)
        images = each.generate(z, condition)
        inputs = images.contiguous(memory_format=torch.channels_last) if images.dim() == 4 else images
        logits = fixture.logits(each, inputs)
        (images.square().sum() + logits.square().sum()).backward()
        gradients = {f"the gradient of {name}": p.grad for name, p in each.named_parameters() if p.grad is not None}
        results.append({"the generator's images": images, "the discriminator's logits": logits, **gradients})
    for name, expected in results[0].items():
        actual = results[1].get(name)
        if actual is None or (actual - expected).abs().max() > tolerance * (1 + expected.abs().max()):
            raise CheckError(f"{name} differ {when}")
