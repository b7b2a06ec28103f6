"""Regularisers that are settings of any architecture: path length, orthogonal weights, LeCam, zCR, top-k training."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.augmentations import normal
from ganzoo.core.errors import UsageError
from ganzoo.gan.condition import map_condition
from ganzoo.gan.step import Logs, MicroBatch

if TYPE_CHECKING:
    from ganzoo.gan.base import GAN

PATH_LENGTH_RATE = 0.01
"""Weight of a batch in the moving average of path lengths."""
LECAM_DECAY = 0.99
"""Decay of the moving averages of logits, one step of the discriminator."""
TOP_K_FALL, TOP_K_IMAGES = 0.99, 50_000
"""The share of images that the generator learns from is multiplied by the one after so many of the other."""
OFF = {"path_length": 0.0, "orthogonal": 0.0, "zcr": 0.0, "lecam": 0.0, "top_k": 1.0, "augmentation": "none"}
"""Settings that a training step of a plugin may pass over, and their values without effect."""


class Regularisers(nn.Module):
    """What the settings `path_length`, `orthogonal`, `zcr` and `lecam` add to the losses, with its state in buffers.

    Without these settings there is no state, and nothing is computed. `asked` are the settings in `OFF` that steps have
    asked for.
    """

    mean_path: Tensor
    mean_logits: Tensor

    def __init__(self, config: Any):
        super().__init__()
        self.config = config
        self.asked: set[str] = set()
        if config.path_length:
            self.register_buffer("mean_path", torch.zeros(()))
        if config.lecam:
            self.register_buffer("mean_logits", torch.zeros(2))  # of real and of generated images

    def without_effect(self) -> list[str]:
        """The settings, `name=value`, that are on and that no step has asked for."""
        values = {name: getattr(self.config, name) for name, off in OFF.items() if name not in self.asked}
        return [f"{name}={value}" for name, value in values.items() if value != OFF[name]]

    def phase(self, step: int) -> Hashable:
        """What the step's control flow depends on; None if all steps are alike."""
        config = self.config
        parts = (
            config.penalty_interval > 1 and step % config.penalty_interval == 0,
            bool(config.path_length) and step % config.path_length_interval == 0,
            bool(config.lecam) and step >= config.lecam_start,
            config.top_k < 1 and top_k(config.batch_size, step * config.batch_size, config.top_k),
        )
        return parts if any(parts) else None

    def generator(self, gan: GAN, micro: MicroBatch) -> Iterator[tuple[Tensor, Logs]]:
        """Terms of the generator's loss, and their unweighted values for the logs."""
        step, config = gan.step_context, self.config
        self.asked |= {"path_length", "orthogonal"}
        if config.path_length and step.step % config.path_length_interval == 0:
            value = self._path_length(gan, micro)
            yield config.path_length * config.path_length_interval * value, {"path_penalty": value.detach()}
        if config.orthogonal:
            value = orthogonality(gan.generator)
            yield config.orthogonal * value, {"orthogonality": value.detach()}

    def latent_consistency(self, gan: GAN, micro: MicroBatch, fake: Tensor) -> Iterator[tuple[Tensor, Logs]]:
        """zCR's term of the discriminator's loss, E (D(G(z)) - D(G(z')))^2 with `fake` = G(z), z' = z + noise.

        Zhao et al. 2021, arXiv:2002.04724, section 3.2.
        """
        self.asked.add("zcr")
        if self.config.zcr:
            with torch.no_grad():
                near = self._near(gan, micro)
            on_fake, on_near = (gan.discriminator(gan.augment(x), micro.condition).float() for x in (fake, near))
            value = (on_fake - on_near).square().mean()
            yield self.config.zcr * value, {"latent_consistency": value.detach()}

    def latent_diversity(self, gan: GAN, micro: MicroBatch, fake: Tensor) -> tuple[Tensor, Logs]:
        """zCR's term of the generator's loss: -E |G(z) - G(z')|^2, a mean over all values; see `latent_consistency`."""
        value = (fake - self._near(gan, micro)).float().square().mean()
        return -self.config.zcr_generator * value, {"latent_diversity": value.detach()}

    def _near(self, gan: GAN, micro: MicroBatch) -> Tensor:
        """What is generated from noise near that of the microbatch."""
        noise = normal(micro.z, *micro.z.shape[1:], rng=gan.step_context.rng)
        return gan.generate(micro.z + self.config.zcr_noise * noise, micro.condition)

    def _path_length(self, gan: GAN, micro: MicroBatch) -> Tensor:
        """E (length - a)^2 with a the moving average of lengths, for half of the images, as in the authors' code."""
        count = max(1, len(micro.z) // 2)
        along, images = gan.path(micro.z[:count], map_condition(lambda x: x[:count], micro.condition))
        lengths = path_lengths(along, images, gan.step_context.rng)
        target = self.mean_path.lerp(gan.step_context.mean_over_ranks(lengths.mean()), PATH_LENGTH_RATE)
        self.mean_path.copy_(target.detach())
        return (lengths - target).square().mean()

    def lecam(self, on_real: Tensor | None, on_fake: Tensor | None, gan: GAN) -> Tensor | None:
        """The weighted LeCam penalty of the sides given, after their means are updated; None before it acts.

        mean relu(D(x) - a_F)^2 + mean relu(a_R - D(G(z)))^2, a the moving averages of the other side's logits: Tseng
        et al. 2021, arXiv:2104.03310, eq. 4, as in the authors' code. Before `lecam_start` a is the last batch's mean.
        """
        self.asked.add("lecam")
        step = gan.step_context
        started = step.step >= self.config.lecam_start
        means = self.mean_logits.clone()
        for side, logits in enumerate((on_real, on_fake)):
            if logits is not None:
                mean = step.mean_over_ranks(logits.detach().float().mean())
                means[side] = torch.lerp(mean, means[side], LECAM_DECAY) if started else mean
        self.mean_logits.copy_(means)
        if not started:
            return None
        terms = [] if on_real is None else [F.relu(on_real - means[1]).square().mean()]
        terms += [] if on_fake is None else [F.relu(means[0] - on_fake).square().mean()]
        weight: float = self.config.lecam
        return weight * torch.stack(terms).sum()


def path_lengths(along: Tensor, images: Tensor, rng: torch.Generator) -> Tensor:
    """|J^T y| of each image [N, ...], with y ~ N(0, 1) / sqrt(pixels) and J its derivative with respect to `along`.

    For styles [N, layers, style] the root of the mean over layers: Karras et al. 2020, arXiv:1912.04958, eq. 4.
    Differentiable.
    """
    pixels = images[0, 0].numel() if images.dim() > 2 else 1
    noise = normal(images, *images.shape[1:], rng=rng) / pixels**0.5
    (gradient,) = torch.autograd.grad((images * noise).sum(), along, create_graph=True)
    return gradient.float().square().sum(-1).reshape(len(gradient), -1).mean(1).sqrt()


def orthogonality(network: nn.Module) -> Tensor:
    """Half of the sum over weights W [rows, ...] of |W W^T o (1 - I)|^2: Brock et al. 2019, arXiv:1809.11096, eq. 3.

    A row is what belongs to one output, in transposed convolutions to one input. Embeddings are left out. The half
    makes a step equal to that of the authors' code. UsageError if no module has a matrix called `weight`.
    """
    terms = []
    for module in network.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.dim() > 1 and not isinstance(module, nn.Embedding):
            gram = weight.flatten(1) @ weight.flatten(1).T
            terms.append((gram - torch.diag(gram.diagonal())).square().sum())
    if not terms:
        raise UsageError("orthogonal needs a generator with weight matrices: no module has one called weight.")
    return 0.5 * torch.stack(terms).sum()


def top_k(count: int, images_seen: int, least: float) -> int:
    """How many of `count` images the generator learns from: Sinha et al. 2020, arXiv:2002.06224, section 3."""
    return max(1, int(count * max(least, TOP_K_FALL ** (images_seen // TOP_K_IMAGES))))
