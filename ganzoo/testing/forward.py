"""Checks of the forward pass: copies of the networks, side effects, random numbers, and devices."""

from __future__ import annotations

import copy
import random
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from ganzoo.gan import GAN
from ganzoo.testing.fixtures import ArchitectureFixture
from ganzoo.testing.kit import CheckError, first_line, rule

N = 4
NETWORKS = ("generator", "discriminator")
RNG = "draw random numbers from torch or the rng that is passed in; keep what forward() changes in buffers."
OTHER_DEVICE = re.compile(r"not on the expected device|tensors to be on the same device")


@rule("keep no lambda or function that refers to self in an attribute: write a method.")
def copies(fixture: ArchitectureFixture) -> None:
    """A copy of the networks, such as the moving average, computes the same without the original."""
    gan = fixture.build().eval()
    try:
        other = copy.deepcopy(gan)
    except Exception as error:  # __deepcopy__ of third-party modules may raise anything, which the message repeats
        raise CheckError(
            f"the networks cannot be copied: {first_line(error)}",
            "keep locks, files, generators and tensors that were computed from parameters out of attributes.",
        ) from error
    expected = _outputs(fixture, gan)
    with torch.no_grad():
        for parameter in gan.parameters():
            parameter.fill_(float("nan"))
    for name, output in _outputs(fixture, other).items():
        if not torch.equal(output, expected[name]):
            raise CheckError(f"a copy of the {name} still uses the original's parameters")


@rule("work on new tensors, x * 2 instead of x.mul_(2), and let forward() change buffers only if self.training.")
def side_effects(fixture: ArchitectureFixture) -> None:
    """Networks change neither arguments nor, in eval mode, themselves, and draw random numbers from torch only."""
    gan = fixture.build()
    for name in NETWORKS:
        _watch_arguments(getattr(gan, name), name)
    for each in (copy.deepcopy(gan).train(), gan.eval()):
        _check_repeated(fixture, each)
    python, numpy = random.getstate(), _numpy_state()
    fixture.step(fixture.state())
    for module, untouched in (("random", random.getstate() == python), ("numpy.random", _numpy_state() == numpy)):
        if not untouched:
            raise CheckError(f"a step draws from the global state of {module}, which no seed and no resume sets", RNG)


@rule("create tensors beside those that forward() gets, as in torch.zeros(n, device=z.device), or register buffers.")
def device(fixture: ArchitectureFixture) -> None:
    """The networks compute on the device they are moved to."""
    if not fixture.judges_images:
        return
    gan = fixture.build()
    z, condition = gan.latent(N), fixture.condition(gan, N)
    gan.to("meta")  # stands for a GPU: it computes shapes only, and refuses tensors of another device
    try:
        z, condition = tree_map_only(Tensor, lambda tensor: tensor.to("meta"), (z, condition))
        images = gan.generate(z, condition)
        gan.discriminator(images, condition)
    except Exception as error:  # some networks cannot run without values, which says nothing about devices
        if OTHER_DEVICE.search(str(error)):
            raise


def _outputs(fixture: ArchitectureFixture, gan: GAN) -> dict[str, Tensor]:
    """The images and the logits of one random input, by the name of the network that computed them."""
    torch.manual_seed(2)
    with torch.no_grad():
        images = gan.generate(gan.latent(N), fixture.condition(gan, N))
        return {"generator": images, "discriminator": fixture.logits(gan, images)}


def _check_repeated(fixture: ArchitectureFixture, gan: GAN) -> None:
    """Compute twice from the same state, and compare."""
    state = {name: tensor.clone() for name, tensor in gan.state_dict().items()}
    first = _outputs(fixture, gan)
    changed = [name for name, tensor in gan.state_dict().items() if not _same(tensor, state[name])]
    if changed and not gan.training:
        raise CheckError(f"in eval mode, forward() changes {', '.join(changed)}")
    gan.load_state_dict(state)
    for name, output in _outputs(fixture, gan).items():
        if not _same(output, first[name]):
            raise CheckError(f"the {name} computes two results from the same input, buffers and random state", RNG)


def _watch_arguments(network: nn.Module, name: str) -> None:
    """Let the network raise CheckError if its forward() changes a tensor that it gets."""
    before: list[Tensor] = []

    def keep(_: nn.Module, *call: Any) -> None:
        before[:] = [tensor.clone() for tensor in _tensors(call)]

    def compare(_: nn.Module, args: Any, keywords: Any, __: Any) -> None:
        for number, (tensor, copied) in enumerate(zip(_tensors((args, keywords)), before), 1):
            if not _same(tensor, copied):
                raise CheckError(f"the {name}'s forward() changes argument {number}, {list(tensor.shape)}, in place")

    network.register_forward_pre_hook(keep, with_kwargs=True)
    network.register_forward_hook(compare, with_kwargs=True)


def _tensors(call: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(call) if isinstance(leaf, Tensor)]


def _numpy_state() -> tuple[Any, ...]:
    state: Any = np.random.get_state()
    name, keys, *position = state
    return name, keys.tobytes(), *position


def _same(left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and torch.equal(left.nan_to_num(), right.nan_to_num())
