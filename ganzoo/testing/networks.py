"""Checks of the networks: shapes, ranges, what decides them, and the ways in which PyTorch may run them."""

from __future__ import annotations

import copy
import re
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.data.normalization import encode
from ganzoo.gan import GAN
from ganzoo.testing.kit import CheckError, rule
from ganzoo.testing.subject import CLASSES, Subject

FORMS = ((1, 8, 10), (3, 16, 1), (1, 28, 10), (3, 32, 100), (3, 64, 2))
POINT_FORMS = ((2, 0, 10), (5, 0, 3))
ODD_SIZES = (1, 7, 29, 36)
N = 4
"""How many images most checks look at."""


@rule("let the layers follow spec.channels, spec.size and spec.classes.")
def shapes(subject: Subject) -> None:
    """Images and logits have their shapes for any size, channels, classes."""
    forms = {"images": FORMS, "points": POINT_FORMS}
    for form in (form for kind in subject.card.kinds for form in forms[kind]):
        try:
            gan = subject.build(subject.spec(*form))
        except UsageError:
            continue  # an honest refusal; `impossible_size` reads what it says
        _fits(subject, gan)
    _fits(subject, subject.build())


@rule("end the generator with tanh.")
def output_range(subject: Subject) -> None:
    """Images stay within -1 and 1 whatever the noise, and differ."""
    gan = subject.build().eval()
    torch.manual_seed(1)
    z, condition = gan.latent(32), subject.condition(gan, 32)
    for scale in (1.0, 1000.0):
        images = gan.generate(z * scale, condition)
        bound = 1 if gan.spec.kind == "images" else float("inf")
        if not images.isfinite().all() or images.abs().max() > bound:
            raise CheckError(f"the generator's images go from {images.min().item():g} to {images.max().item():g}")
    if (images - images[:1]).abs().max() == 0:
        raise CheckError("32 noise vectors give 32 equal images", "let the noise z enter the generator.")


@rule("return the last layer's output as it is: the losses apply the sigmoid where they need one.")
def logits(subject: Subject) -> None:
    """The discriminator returns finite logits, not probabilities."""
    gan = subject.build().eval()
    torch.manual_seed(1)
    images = torch.randn(64, *gan.spec.shape) * 1e6  # far beyond where a sigmoid ends
    scores = gan.discriminator(images, subject.condition(gan, 64))
    if not scores.isfinite().all():
        raise CheckError("some logits are not finite", "look for a division or a log without bounds.")
    if scores.min() >= 0 and scores.max() <= 1:
        raise CheckError(f"for any image its values lie within {scores.min():g} and {scores.max():g}")


@rule("let the condition enter the generator and the discriminator, or declare neither conditional nor paired.")
def condition(subject: Subject) -> None:
    """What the card asks for, labels or input images, matters to both networks."""
    gan = subject.build().eval()
    n = N * CLASSES
    real = encode(torch.from_numpy(subject.data(gan.spec).values[:n]), gan.spec)
    first = subject.condition(gan, n)
    if first is None:
        return
    torch.manual_seed(1)
    z, other = gan.latent(n), first.roll(1, 0)
    images = gan.generate(z, first)
    what = "inputs" if subject.card.paired else "labels"
    if torch.equal(images, gan.generate(z, other)):
        raise CheckError(f"other {what} give the same images")
    losses = []
    for each in (first, other):
        torch.manual_seed(0)
        rng = torch.Generator().manual_seed(0)
        losses.append(gan.discriminator_loss(real, images, each, rng)[0] + gan.generator_loss(real, images, each)[0])
    if torch.equal(*losses):
        raise CheckError(f"other {what} for the same images give the same losses")


@rule("draw every random number of build() from torch's global state, and noise from the rng that is given.")
def seed(subject: Subject) -> None:
    """The seed decides weights and samples; sampling changes nothing else."""
    first, again, other = (subject.build(seed=seed) for seed in (0, 0, 1))
    changed = _difference(first, again)
    if changed:
        raise CheckError(f"built twice from one seed, {changed} differs")
    if _difference(first, other) is None:
        raise CheckError("another seed gives the same weights", "initialise weights with torch.nn.init.")
    first.train()
    modes, state = [module.training for module in first.modules()], torch.get_rng_state()
    same = torch.equal(subject.sample(first, N, seed=0), subject.sample(again, N, seed=0))
    if not torch.equal(torch.get_rng_state(), state):
        raise CheckError("sample(seed=0) draws from the global random state")
    if not same:
        raise CheckError("one seed gives two different samples")
    if [module.training for module in first.modules()] != modes:
        raise CheckError("sample() changes the networks' train and eval modes", "use ganzoo.gan.evaluating.")
    _fits(subject, first)
    if [module.training for module in first.modules()] != modes:
        raise CheckError(
            "forward() changes the networks' train and eval modes", "leave train() and eval() to those who call them."
        )


@rule("keep all that decides the output in parameters and buffers, and no tensor under two names.")
def safetensors(subject: Subject) -> None:
    """Weights written to a file and read back give the same images."""
    gan, again = subject.build(seed=0), subject.build(seed=1)
    gan.generate(gan.latent(N), subject.condition(gan, N))  # moves running statistics
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in gan.state_dict().items()}, file)
        again.load_state_dict(load_file(file))
    _same_outputs(subject, gan.eval(), again.eval(), "read back from safetensors", 0.0)


@rule("index dimensions as [N, C, H, W] and use reshape or flatten where view fails on strides.")
def channels_last(subject: Subject) -> None:
    """In the channels_last memory format the networks compute the same."""
    if subject.smallest.kind == "points":
        return
    try:  # a single channel is laid out alike in both formats
        gan = subject.build(subject.spec(3, subject.smallest.size))
    except UsageError:
        gan = subject.build()
    other = copy.deepcopy(gan).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    _same_outputs(subject, other, gan, "in channels_last")


@rule("replace Python code that depends on values of tensors, and calls that torch.compile cannot trace.")
def compile(subject: Subject) -> None:
    """torch.compile traces each network as one graph that computes the same."""
    gan = subject.build()
    other = copy.deepcopy(gan)
    torch._dynamo.reset()
    try:
        for name in ("generator", "discriminator"):
            network: nn.Module = getattr(other, name)
            network.forward = torch.compile(network.forward, backend="aot_eager", fullgraph=True)  # type: ignore[method-assign]
        _same_outputs(subject, gan, other, "under torch.compile")
    except torch._dynamo.exc.TorchDynamoException as why:
        places = re.findall(r'File "(.+)", line (\d+)', str(why))
        raise CheckError(f"{str(why).splitlines()[0]} ({':'.join(places[-1])})" if places else str(why)) from why
    finally:
        torch._dynamo.reset()


@rule("raise ganzoo.core.errors.UsageError from build() for a size that the networks cannot reach.")
def impossible_size(subject: Subject) -> None:
    """A size that cannot be reached is refused with one that can."""
    for size in ODD_SIZES if "images" in subject.card.kinds else ():
        try:
            gan = subject.build(subject.spec(subject.smallest.channels, size))
        except UsageError as refusal:
            _check_refusal(subject, size, str(refusal))
        else:
            _fits(subject, gan)


def _check_refusal(subject: Subject, size: int, refusal: str) -> None:
    change = f'end the message with a size that works, as in "Set image_size={subject.smallest.size} instead."'
    proposed = re.search(r"image_size=(\d+)", refusal)
    if proposed is None:
        raise CheckError(f"the refusal of {size} pixels names no image_size that works: {refusal}", change)
    try:
        subject.build(subject.spec(subject.smallest.channels, int(proposed[1])))
    except UsageError:
        raise CheckError(
            f"{size} pixels are refused in favour of {proposed[1]}, which is refused too", change
        ) from None


def _fits(subject: Subject, gan: GAN) -> None:
    spec: DataSpec = gan.spec
    images = gan.generate(gan.latent(N), subject.condition(gan, N))
    wanted = (N, *spec.shape)
    if images.shape != wanted:
        raise CheckError(f"the generator returns {list(images.shape)} where {list(wanted)} is asked for")
    logits = gan.discriminator(images, subject.condition(gan, N))
    if logits.shape[:1] != (N,):
        raise CheckError(
            f"the discriminator returns {list(logits.shape)} for {N} images, expected [{N}] or [{N}, ...]",
            "return one logit an image, or one for each of its patches.",
        )


def _difference(first: nn.Module, other: nn.Module) -> str | None:
    """The name of a tensor in which two networks of one architecture differ."""
    one, two = first.state_dict(), other.state_dict()
    return next((name for name in one if name not in two or not torch.equal(one[name], two[name])), None)


def _same_outputs(subject: Subject, gan: GAN, other: GAN, how: str, tolerance: float = 1e-3) -> None:
    """Images, logits and gradients of both, drawn from one random state, must be the same."""
    results: list[dict[str, Tensor]] = []
    for each in (gan, other):
        for module in each.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.eval()  # it draws in the order of the memory, so the format decides what it drops
        torch.manual_seed(2)
        z, condition = each.latent(N), subject.condition(each, N)
        images = each.generate(z, condition)
        seen = images.contiguous(memory_format=torch.channels_last) if images.dim() == 4 else images
        logits = each.discriminator(seen, condition)
        logits.square().sum().backward()
        gradients = {f"the gradient of {name}": p.grad for name, p in each.named_parameters() if p.grad is not None}
        results.append({"the generator's images": images, "the discriminator's logits": logits, **gradients})
    for what, expected in results[0].items():
        found = results[1].get(what)
        if found is None or (found - expected).abs().max() > tolerance * (1 + expected.abs().max()):
            raise CheckError(f"{what} differ {how}")
