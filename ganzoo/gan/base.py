"""GAN: a generator and a discriminator with their losses and optimizers."""

from __future__ import annotations

import operator
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.augmentations import Augmentation, get_augmentation
from ganzoo.core import config as configs
from ganzoo.core.errors import UsageError
from ganzoo.core.plugin import Sampling, StandingSampling
from ganzoo.core.spec import INPUT, LABEL, DataSpec, examples_of
from ganzoo.data.normalization import decode
from ganzoo.gan.condition import Condition, condition_of, map_condition, twice
from ganzoo.gan.optimizers import Adam, RMSprop
from ganzoo.gan.packing import joined, separated
from ganzoo.gan.regularisers import Regularisers, top_k
from ganzoo.gan.sampling import checked_given, checked_labels, evaluating, sampling_with, standing_statistics
from ganzoo.gan.step import Logs, Player, StepContext
from ganzoo.losses import clip_weights, get_loss, get_penalty
from ganzoo.nn import MinibatchStddev, spectrally_normalise, uses_batch_statistics
from ganzoo.penalties import OF_IMAGES


class GAN(nn.Module):
    """A generator and a discriminator (a critic, for losses that call it so).

    Args:
        generator: called as `generator(z, condition)`, z [N, latent_dim]; returns images [N, C, size, size] in [-1, 1],
            or points [N, C].
        discriminator: called as `discriminator(images, condition)`; returns logits [N], higher for more real, or
            [N, ...] if it classifies patches of an image.
        config: the architecture's settings, a `ganzoo.core.plugin.Config`.
        spec: the images or points the networks were built for.

    `condition` is labels, int64 [N], for a conditional architecture, input images [N, inputs, size, size] in [-1, 1]
    for a paired one, a dict of tensors by name for a card that asks for several in `given`, and None otherwise.
    Whatever is documented for images holds for other data, [N, *spec.shape], as well. Plugins may override any method.
    """

    class_names: tuple[str, ...] = ()
    """Names of the classes of the data it was trained on, by number; empty if they are not known."""
    packs: bool = True
    """Whether the setting `pack` is possible: False if training uses the discriminator for more than its logits."""
    step_context: StepContext
    """The current training step: inside losses, where training stands and which z they are for. Set by the trainer."""
    sampling_type: type[Any] = Sampling
    """The card's `Sampling`."""
    sampling: Any = None
    """Inside `sample` its settings, for `latent`, `condition` and `generate`; None in training."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, config: Any, spec: DataSpec):
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.config = config
        self.spec = spec
        self.penalty_weight: float = config.penalty_weight  # at the current step; the trainer applies penalty_half_life
        self.augmentation = get_augmentation(config.augmentation)
        self._signs: list[Tensor] = []
        self.regularisers = Regularisers(config)
        self.batch_statistics = uses_batch_statistics(discriminator)
        self.separate_passes = self.batch_statistics or any(
            isinstance(m, MinibatchStddev) for m in discriminator.modules()
        )
        examples = examples_of(spec.kind)
        if self.augmentation and spec.kind != "images":
            raise UsageError(f"augmentation={config.augmentation} is for images, and these data are {examples}.")
        penalty = get_penalty(config.penalty)
        if penalty in OF_IMAGES and spec.kind != "images":
            raise UsageError(f"penalty={config.penalty} moves images; these are {examples}. Choose penalty=none.")
        self.apply_spectral_norm()
        if penalty and self.batch_statistics:
            raise UsageError(
                f"penalty={config.penalty} with batch norm in the discriminator: the penalty is on each image by "
                "itself, and batch norm mixes the images of a batch. Choose discriminator_norm=none, or penalty=none."
            )

    def apply_spectral_norm(self) -> None:
        """Normalise the networks that the setting `spectral_norm` names. Called once, by the constructor."""
        normalised = {"none": (), "both": ("generator", "discriminator")}
        names = normalised.get(self.config.spectral_norm, (self.config.spectral_norm,))
        if "discriminator" in names and self.batch_statistics:
            raise UsageError(
                f"spectral_norm={self.config.spectral_norm} with batch norm in the discriminator: batch norm rescales "
                "its layers, so that their spectral norm bounds nothing. Choose discriminator_norm=none."
            )
        for name in names:
            spectrally_normalise(getattr(self, name))

    def training_step(self, step: StepContext) -> Logs:
        """One training step: `discriminator_steps` updates of the discriminator, then one of the generator.

        Override it to train by other rules. Returns the logs, the same names whenever `phase` is the same.
        """
        for k in range(self.config.discriminator_steps):
            batch = step.batches(k)
            last = k == self.config.discriminator_steps - 1
            with step.update("discriminator") as update:
                for micro in batch:
                    # the generator learns from the same images; graphs of many microbatches would cost their memory
                    fake = step.generate(micro, keep_graph=last and len(batch) == 1).detach()
                    for loss, logs in self.discriminator_losses(micro.real, fake, micro.condition, step.rng):
                        update.backward(loss, logs)
                    for loss, logs in self.regularisers.latent_consistency(self, micro, fake):
                        update.backward(loss, logs)
        with step.update("generator") as update:
            for micro in batch:
                fake = step.generate(micro)
                loss, logs = self.generator_loss(micro.real, fake, micro.condition)
                if self.config.zcr:  # along the graph of the same images
                    spread, more = self.regularisers.latent_diversity(self, micro, fake)
                    loss, logs = loss + spread, {**logs, **more}
                update.backward(loss, logs)
                for loss, logs in self.regularisers.generator(self, micro):
                    update.backward(loss, logs)
        return step.logs

    def players(self) -> dict[str, Player]:
        """The players by name: "discriminator", "generator", and any further ones."""
        generator, discriminator = self.optimizers()
        return {
            "discriminator": Player(discriminator, ("discriminator",)),
            "generator": Player(generator, ("generator",), average=True),
        }

    def phase(self, step: int) -> Hashable:
        """A value that control flow in `training_step` may depend on besides the settings, e.g. `step % 16 == 0`.

        Steps of one phase do the same work on the device, so that each phase can be one CUDA graph. The default depends
        on the settings that act in some steps only, such as `penalty_interval`.
        """
        return self.regularisers.phase(step)

    def after_step(self, player: str) -> None:
        """Called after every optimizer step of a player."""
        if player == "discriminator":
            self.after_discriminator_step()
            self._adapt_augmentation()

    def state(self) -> dict[str, Any]:
        """What training changes besides parameters and buffers: numbers, strings, tensors, lists and dicts of them.

        It is saved with every checkpoint and passed to `load_state` on resume; `ganzoo.load` does not read it. It must
        be the same on all ranks: use `StepContext.mean_over_ranks` for what comes from a batch.
        """
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""

    @property
    def device(self) -> torch.device:
        return next(self.generator.parameters()).device

    @property
    def classes(self) -> int:
        """Number of labels that `sample` accepts; 0 if it accepts none."""
        return self.spec.classes

    @property
    def conditional(self) -> bool:
        return self.classes > 0

    @property
    def paired(self) -> bool:
        return INPUT in self.spec.given

    def latent(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Noise z ~ N(0, 1), [n, latent_dim], on the GAN's device; `rng` is a generator of that device."""
        return torch.randn(n, self.config.latent_dim, device=self.device, generator=rng)

    def condition(self, given: Condition, n: int, rng: torch.Generator | None = None) -> Condition:
        """The condition of n images, from the labels or input images `given` by the data or by the caller of `sample`.

        The default returns them unchanged. An architecture with random codes, such as InfoGAN, draws them here.
        """
        return given

    def generate(self, z: Tensor, condition: Condition = None) -> Tensor:
        """Generate images in [-1, 1], [N, C, size, size], from noise z [N, latent_dim]."""
        images: Tensor = self.generator(z, condition)
        return images

    def path(self, z: Tensor, condition: Condition = None) -> tuple[Tensor, Tensor]:
        """What the path length is measured along, [N, ...], and the images generated from it; the default is z itself.

        A generator with styles returns these, as [N, layers, style].
        """
        z = z.detach().requires_grad_()
        return z, self.generate(z, condition)

    def discriminator_loss(
        self, real: Tensor, fake: Tensor, condition: Condition = None, rng: torch.Generator | None = None
    ) -> tuple[Tensor, Logs]:
        """The discriminator's loss, a scalar, and logs.

        `real` and `fake` are [N, C, size, size] and share the `condition`; `rng` draws a penalty's random numbers.
        """
        values, logs = zip(*self._terms(real, fake, condition, rng))
        return torch.stack(values).sum(), {name: value for term in logs for name, value in term.items()}

    def discriminator_losses(
        self, real: Tensor, fake: Tensor, condition: Condition = None, rng: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Logs]]:
        """The terms of the discriminator's loss, each to be differentiated before the next one is computed.

        This way the activations of real images, of generated images and of a penalty need not be in memory together.
        If a plugin overrides `discriminator_loss`, that is the only term.
        """
        if self._overrides("discriminator_loss"):
            yield self.discriminator_loss(real, fake, condition, rng)
        else:
            yield from self._terms(real, fake, condition, rng)

    def _terms(
        self, real: Tensor, fake: Tensor, condition: Condition, rng: torch.Generator | None
    ) -> Iterator[tuple[Tensor, Logs]]:
        loss = get_loss(self.config.loss)
        together = loss.relativistic or self._overrides("logits") or self._overrides("discriminator_objective")
        if self.batch_statistics and not together:
            yield self.discriminator_objective(self.discriminator(self.augment(real), condition).float(), None)
            yield self.discriminator_objective(None, self.discriminator(self.augment(fake), condition).float())
        else:
            yield self.discriminator_objective(*self.logits(real, fake, condition))
        penalty, logs = self.penalty(real, fake, condition, rng)
        if isinstance(penalty, Tensor):
            yield penalty, logs
        elif penalty or logs:  # a constant: no gradient, but a part of the loss
            yield real.new_full((), penalty), logs

    def _overrides(self, method: str) -> bool:
        """Whether a plugin overrides this method of `GAN`."""
        return getattr(getattr(self, method), "__func__", None) is not getattr(GAN, method)

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Condition = None) -> tuple[Tensor, Logs]:
        """The generator's loss, a scalar, for its images `fake`, and logs.

        `real` and `fake` are [N, C, size, size] and share the `condition`.
        """
        if get_loss(self.config.loss).relativistic:
            on_real, on_fake = self.logits(real, fake, condition)
            return self.generator_objective(on_real, on_fake), {}
        return self.generator_objective(None, self.discriminator(self.augment(fake), condition).float()), {}

    def logits(self, real: Tensor, fake: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """The discriminator's logits of real and of generated images that share the `condition`."""
        real, fake = self.augment(real), self.augment(fake)
        if self.separate_passes:  # real and fake must not be mixed (Radford et al. 2016)
            return self.discriminator(real, condition).float(), self.discriminator(fake, condition).float()
        on_real, on_fake = self.discriminator(torch.cat([real, fake]), twice(condition)).float().chunk(2)
        return on_real, on_fake

    def discriminator_objective(self, on_real: Tensor | None, on_fake: Tensor | None) -> tuple[Tensor, Logs]:
        """The adversarial loss of the logits of real and generated images, and the logs `d_real` and `d_fake`.

        These are mean probabilities of "real" if the loss defines them, else mean logits. If the logits of one side are
        None, the loss is the other side's term; a relativistic loss has no such terms.
        """
        loss = get_loss(self.config.loss)
        value = loss.discriminator(on_real, on_fake, self.config.real_label)
        lecam = self.regularisers.lecam(on_real, on_fake, self) if self.config.lecam else None
        value = value if lecam is None else value + lecam
        if isinstance(self.augmentation, Augmentation) and on_real is not None:
            self._signs.append(on_real.detach().sign().mean())
        sides = {"d_real": on_real, "d_fake": on_fake}
        scores = {name: logits.detach() for name, logits in sides.items() if logits is not None}
        return value, {name: (x.sigmoid() if loss.probability else x).mean() for name, x in scores.items()}

    def generator_objective(self, on_real: Tensor | None, on_fake: Tensor) -> Tensor:
        """The generator's adversarial loss; only a relativistic one uses `on_real`, the logits of real images."""
        loss = get_loss(self.config.loss)
        self.regularisers.asked.add("top_k")
        if self.config.top_k < 1:
            on_fake = on_fake.topk(top_k(len(on_fake), self.step_context.images_seen, self.config.top_k), dim=0).values
        return loss.generator(on_real, on_fake) if loss.relativistic else loss.generator(on_fake)

    def penalty(
        self, real: Tensor, fake: Tensor, condition: Condition, rng: torch.Generator | None
    ) -> tuple[Tensor | float, Logs]:
        """The weighted gradient penalty that the setting `penalty` selects, and its unweighted value in the logs."""
        penalty, interval = get_penalty(self.config.penalty), self.config.penalty_interval
        if penalty is None or (interval > 1 and self.step_context.step % interval):
            return 0.0, {}

        pack: int = self.config.pack

        def score(packs: Tensor) -> Tensor:
            logits: Tensor = self.discriminator(self.augment(separated(packs, pack)), condition)
            return logits

        value = penalty(score, joined(real, pack), joined(fake, pack), rng)
        return self.penalty_weight * interval * value, {"penalty": value.detach()}

    def augment(self, images: Tensor) -> Tensor:
        """The images as the discriminator sees them in training: augmented if the setting `augmentation` says so."""
        self.regularisers.asked.add("augmentation")
        return images if self.augmentation is None else self.augmentation(images, self.step_context.rng)

    def _adapt_augmentation(self) -> None:
        """Let an augmentation with state know how the discriminator judged the real images of its last update."""
        if isinstance(self.augmentation, Augmentation) and self._signs:
            overfitting = self.step_context.mean_over_ranks(torch.stack(self._signs).mean())
            self._signs.clear()
            with torch.no_grad():
                self.augmentation.adapt(overfitting, self.config.batch_size)

    def after_discriminator_step(self) -> None:
        """Called after every optimizer step of the discriminator; clips its weights if penalty=clip."""
        if self.config.penalty == "clip":
            trained = (parameter for parameter in self.discriminator.parameters() if parameter.requires_grad)
            clip_weights(trained, self.config.clip)

    def optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """The optimizers of the generator and the discriminator, in this order."""
        return (
            self.make_optimizer(self.generator, self.config.generator_lr),
            self.make_optimizer(self.discriminator, self.config.discriminator_lr),
        )

    @torch.no_grad()
    def sample(
        self,
        count: int,
        labels: Sequence[int | str] | Tensor | None = None,
        seed: int | None = None,
        chunk: int = 256,
        inputs: Tensor | None = None,
        sampling: Mapping[str, Any] | None = None,
        given: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Generate `count` images, uint8 [count, C, H, W], or other data as their modality stores them, on the CPU.

        `labels` (conditional GANs only) are `count` numbers or names of classes; by default these alternate. `inputs`
        (paired GANs only, required) are the input images as the data set stores them, uint8 [count, C', h, w].
        `given` holds further arrays that the card asks for, by name. The same `seed` gives the same samples; by default
        it is random. `chunk` is the number of samples generated at a time. `sampling` replaces defaults of the card's
        sampling settings: `{"truncation": 0.5}`. The generator runs in eval mode.
        """
        count, chunk = configs.integer("count", count, ge=0), configs.integer("chunk", chunk, ge=1)
        conditioning = self._conditioning(
            count, labels, {**({} if inputs is None else {INPUT: inputs}), **(given or {})}
        )
        rng = torch.Generator(self.device)
        if seed is None:
            rng.seed()
        else:
            rng.manual_seed(configs.integer("seed", seed, ge=-configs.MAX_SEED, le=configs.MAX_SEED))
        samples = []
        with evaluating(self.generator), sampling_with(self, sampling or {}):
            z, condition = self.latent(count, rng), self.condition(conditioning, count, rng)
            standing = self.sampling.standing if isinstance(self.sampling, StandingSampling) else 0
            with standing_statistics(self, standing, self.config.batch_size, rng):
                for start in range(0, count, chunk):
                    rows = slice(start, start + chunk)
                    outputs = self.generate(z[rows], map_condition(operator.itemgetter(rows), condition))
                    samples.append(decode(outputs, self.spec))
        return torch.cat(samples) if samples else decode(torch.empty(0, *self.spec.shape), self.spec)

    def class_labels(self, count: int) -> Tensor | None:
        """Labels int64 [count] that cycle through the classes; None if the GAN is not conditional."""
        return torch.arange(count) % self.classes if self.conditional else None

    def _conditioning(
        self, count: int, labels: Sequence[int | str] | Tensor | None, given: Mapping[str, Tensor]
    ) -> Condition:
        """What the networks are given, checked, in the order of the spec."""
        if labels is not None and not self.conditional:
            raise UsageError("This GAN is not conditional: it takes no labels.")
        unknown = [name for name in given if name not in self.spec.given or name == LABEL]
        if unknown:
            raise UsageError(
                "This GAN is not paired: it takes no inputs."
                if unknown == [INPUT]
                else f"This GAN takes no {unknown[0]}."
            )
        parts = {}
        labels = self.class_labels(count) if labels is None else labels
        if labels is not None:
            parts[LABEL] = checked_labels(labels, count, self.classes, self.class_names).to(self.device)
        for name, described in self.spec.given.items():
            if name != LABEL:
                parts[name] = checked_given(name, given.get(name), count, described).to(self.device)
        return condition_of(parts)

    def make_optimizer(self, network: nn.Module, lr: float) -> torch.optim.Optimizer:
        """A new optimizer for the parameters of `network` that are not frozen, as the settings say."""
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if self.config.optimizer == "rmsprop":
            return RMSprop(parameters, lr)
        return Adam(parameters, lr, (self.config.beta1, self.config.beta2), fused=True)
