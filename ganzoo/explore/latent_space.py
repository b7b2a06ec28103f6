"""The latent space of a trained generator: pictures of its points, D's score, and the nearest training images."""

from __future__ import annotations

import copy
import io
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ganzoo import data, latents
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataLocation, examples_of
from ganzoo.data import ImageData, imaging
from ganzoo.explore.recipe import Pin, Recipe
from ganzoo.gan import GAN
from ganzoo.latents import Latents
from ganzoo.latents.space import network_condition
from ganzoo.losses import get_loss
from ganzoo.training.checkpoint import PREFIX
from ganzoo.training.loading import load_checkpoint, newest_checkpoint
from ganzoo.training.run import Run

NEAREST = 4
CHUNK = 4096
METHODS = ("sefa", "ganspace")
DIRECTIONS = 8
GANSPACE_SAMPLES = 2000
"""Latents that GANSpace analyses here: fewer than `ganzoo directions` takes, so that nobody waits for long."""
STARTS, STEPS, CANDIDATES = 4, 120, 500
"""How hard a projection tries."""
MAX_UPLOADS = 100
FILM_FRAMES = 60
FILM_MS = 50
REMEMBERED = 4096
"""Points of seeds that are kept."""


class LatentSpace:
    """The GAN of a run's newest checkpoint. For one thread at a time, except `nearest` and `project`."""

    def __init__(self, run: Run, device: str | None = None):
        if run.spec.kind != "images":
            raise UsageError(f"Latent space is shown for images, and this run generates {examples_of(run.spec.kind)}.")
        self.run = run
        checkpoint = newest_checkpoint(run)
        self.step = int(checkpoint.name.removeprefix(PREFIX))
        self.gan = load_checkpoint(run, checkpoint, device)
        latents.require_latent(self.gan)
        self._points: OrderedDict[tuple[Pin, float | None], Latents] = OrderedDict()
        self._directions: dict[str, latents.Directions] = {}
        self._projected: OrderedDict[str, Latents] = OrderedDict()

    @property
    def description(self) -> dict[str, Any]:
        """What the page needs once."""
        names = self.run.config["dataset"]["class_names"] if self.gan.conditional else []
        classes = names or [str(number) for number in range(self.gan.classes)]
        return {
            "step": self.step, "shape": list(self.gan.spec.shape), "classes": classes, "mixes": self.mixes_classes,
            "projected": list(self._projected), "directions": min(DIRECTIONS, self.point(Pin()).z.numel()),
        }  # fmt: skip

    @cached_property
    def mixes_classes(self) -> bool:
        """Whether classes can be mixed."""
        if not self.gan.conditional:
            return False
        point = latents.of_seeds(self.gan, [0], [0])
        assert point.condition is not None
        try:
            latents.render(self.gan, Latents(point.z, torch.full_like(point.condition, 1 / self.gan.classes)))
        except UsageError:
            return False
        return True

    def point(self, pin: Pin, truncation: float | None = None) -> Latents:
        """The point of a pin. UsageError if it is an image that is no longer there, or a class that does not exist."""
        if pin.image is not None:
            if pin.image not in self._projected:
                raise UsageError("A projected image is no longer there. Choose another pin, or upload it again.")
            return self._projected[pin.image]
        key = pin, truncation
        if key not in self._points:
            label = None if pin.label is None or not self.gan.conditional else [pin.label]
            self._points[key] = latents.of_seeds(self.gan, [pin.seed], label, truncation)
            if len(self._points) > REMEMBERED:
                self._points.popitem(last=False)
        return self._points[key]

    def locate(self, recipe: Recipe) -> Latents:
        """The point of latent space that `recipe` describes, one of them."""
        a, b, c, d = (self.point(pin, recipe.truncation) for pin in recipe.pins)
        if recipe.mode == "arithmetic":
            point = latents.combine([(1, a), (-1, b), (1, c)])
        else:
            x, y = torch.tensor([recipe.x]), torch.tensor([recipe.y])
            point = latents.between(latents.between(a, b, x), latents.between(c, d, x), y)
        if recipe.classes is not None and point.condition is not None:
            point = Latents(point.z, self._mixed(point.condition, recipe.classes))
        return self._moved(point, recipe)

    def picture(self, recipe: Recipe) -> Tensor:
        """The picture, uint8 [C, H, W]."""
        return latents.render(self.gan, self.locate(recipe))[0]

    def wall(self, pins: Sequence[Pin], truncation: float | None) -> Tensor:
        """The pictures of pins, uint8 [N, C, H, W]."""
        return latents.render(self.gan, Latents.concatenated([self.point(pin, truncation) for pin in pins]))

    @torch.no_grad()
    def score(self, recipe: Recipe) -> dict[str, Any] | None:
        """D's verdict on the picture: the probability of "real" if the loss defines one, else its score.

        None if it judges several pictures at once.
        """
        if self.gan.config.pack > 1:
            return None
        point, gan = self.locate(recipe), self.gan
        with latents.as_sampling(gan):
            image = latents.generate(gan, point)
        logit = latents.own_score(gan)(image, network_condition(gan, point))
        probability = get_loss(gan.config.loss).probability
        return {"value": float(logit.sigmoid() if probability else logit), "probability": probability}

    def nearest(self, picture: Tensor) -> list[tuple[int, float, Tensor]]:
        """Index, root mean square difference of pixels and image of the training images nearest to `picture`."""
        images = self._training_images.images
        wanted = picture.flatten().float()
        parts = [
            (torch.from_numpy(np.array(images[i : i + CHUNK])).flatten(1).float() - wanted).square().mean(1).sqrt()
            for i in range(0, len(images), CHUNK)
        ]
        found = torch.cat(parts).topk(min(NEAREST, len(images)), largest=False)
        pairs = zip(found.indices.tolist(), found.values.tolist())
        return [(i, distance, torch.from_numpy(images[i].copy())) for i, distance in pairs]

    def directions(self, method: str) -> latents.Directions:
        """Directions along which images change, by `method`; computed once."""
        if method not in METHODS:
            raise UsageError(f"There are no directions by {method!r}: choose {' or '.join(METHODS)}.")
        if method not in self._directions:
            if method == "sefa":
                self._directions[method] = latents.sefa(self.gan, DIRECTIONS)
            else:
                self._directions[method] = latents.ganspace(self.gan, DIRECTIONS, samples=GANSPACE_SAMPLES)
        return self._directions[method]

    def copy_of_gan(self) -> GAN:
        """Networks for `project`. For the thread of pictures: while it makes one, the GAN has hooks and other modes."""
        return copy.deepcopy(self.gan)

    def project(self, gan: GAN, image: Tensor, label: int | None) -> tuple[str, latents.Projection]:
        """The point whose picture is closest to `image`, uint8 [C, H, W], and the name of a pin for it.

        `gan` is a copy of the networks, so that pictures can be made meanwhile, by another thread.
        """
        features = None if gan.config.pack > 1 else latents.discriminator_features(gan)
        found = latents.project(gan, image, label, features, STARTS, STEPS, CANDIDATES)
        name = secrets.token_hex(6)
        self._projected[name] = found.latents
        if len(self._projected) > MAX_UPLOADS:
            self._projected.popitem(last=False)
        return name, found

    @cached_property
    def _training_images(self) -> ImageData:
        config = self.run.config
        name, where = config["dataset"]["name"], DataLocation.find(config["data_dir"])
        if not data.on_disk(name, where):
            raise UsageError(f"The training images are not on this machine: {name}. Set GANZOO_DATA to where they are.")
        images = data.open(name, image_size=self.run.image_size, data_dir=config["data_dir"])
        if not isinstance(images, ImageData) or images.images.shape[1:] != self.gan.spec.shape:
            raise UsageError(f"The images of {name} no longer have the shape that this run was trained on.")
        return images

    def png(self, recipe: Recipe) -> bytes:
        """The picture as a PNG file that says where it comes from."""
        info = PngInfo()
        for key, value in self._origin(recipe).items():
            info.add_text(key, str(value))
        file = io.BytesIO()
        imaging.to_pil(self.picture(recipe)).save(file, format="PNG", pnginfo=info)
        return file.getvalue()

    def npz(self, recipe: Recipe) -> bytes:
        """The picture, its noise and its classes as arrays."""
        point, file = self.locate(recipe), io.BytesIO()
        arrays: dict[str, Any] = {"image": latents.render(self.gan, point)[0].numpy(), "z": point.z[0].cpu().numpy()}
        arrays |= {} if point.condition is None else {"condition": point.condition[0].cpu().numpy()}
        arrays |= {key: np.array(value) for key, value in self._origin(recipe).items()}
        np.savez_compressed(file, **arrays)
        return file.getvalue()

    def gif(self, recipe: Recipe) -> bytes:
        """A closed walk through the pins, as `ganzoo walk` films it."""
        points = Latents.concatenated([self.point(pin, recipe.truncation) for pin in recipe.pins])
        frames = [imaging.to_pil(image) for image in latents.render(self.gan, latents.walk(points, FILM_FRAMES))]
        file = io.BytesIO()
        frames[0].save(file, format="GIF", save_all=True, append_images=frames[1:], duration=FILM_MS, loop=0)
        return file.getvalue()

    def code(self, recipe: Recipe) -> str:
        """Python that makes the picture again, from the seeds, or else from the npz file."""
        seeds, labels = [pin.seed for pin in recipe.pins], [pin.label for pin in recipe.pins]
        lines = ["import ganzoo, torch", "from ganzoo import latents", "", f"gan = ganzoo.load({str(self.run.path)!r})"]
        if any(pin.image for pin in recipe.pins) or recipe.moves or recipe.classes:
            lines[0] = "import ganzoo, numpy, torch"
            lines += [
                'file = numpy.load("picture.npz")',
                'arrays = [torch.from_numpy(file[name][None]) for name in ("z", "condition") if name in file]',
                "point = latents.Latents(*arrays)",
            ]
        else:
            given = f", labels={labels}" if self.gan.conditional and None not in labels else ""
            given += "" if recipe.truncation is None else f", truncation={recipe.truncation:g}"
            lines.append(f"pins = latents.of_seeds(gan, {seeds}{given})")
            if recipe.mode == "arithmetic":
                lines.append("point = latents.combine([(1, pins[:1]), (-1, pins[1:2]), (1, pins[2:3])])")
            else:
                lines += [
                    f"x, y = torch.tensor([{recipe.x:g}]), torch.tensor([{recipe.y:g}])",
                    "top, bottom = (latents.between(pins[i : i + 1], pins[i + 1 : i + 2], x) for i in (0, 2))",
                    "point = latents.between(top, bottom, y)",
                ]
        return "\n".join([*lines, "image = latents.render(gan, point)[0]"])

    def _origin(self, recipe: Recipe) -> dict[str, Any]:
        return {"run": str(self.run.path), "step": self.step, "recipe": repr(recipe)}

    def _mixed(self, condition: Tensor, classes: tuple[int, int, float]) -> Tensor:
        first, second, share = classes
        if max(first, second) >= condition.shape[1]:
            raise UsageError(f"This GAN has {condition.shape[1]} classes.")
        weights = torch.zeros_like(condition)
        weights[:, first] += 1 - share
        weights[:, second] += share
        return weights

    def _moved(self, point: Latents, recipe: Recipe) -> Latents:
        z = point.z
        for move in recipe.moves:
            directions = self.directions(move.method)
            if move.index >= len(directions):
                raise UsageError(f"There are {len(directions)} directions by {move.method}.")
            z = z + move.amount * directions.vectors[move.index]
        return Latents(z, point.condition)


class LatentSpaces:
    """The latent spaces of the runs that were opened last."""

    def __init__(self, device: str | None = None, most: int = 2):
        self.device = device
        self.most = most
        self._spaces: OrderedDict[str, LatentSpace] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, identifier: str) -> LatentSpace | None:
        """The latent space of this run, if it is open and the run is still there."""
        with self._lock:
            space = self._spaces.get(identifier)
            if space is None or not space.run.path.is_dir():
                return None
            self._spaces.move_to_end(identifier)
            return space

    def get(self, identifier: str, run: Run) -> LatentSpace:
        """The latent space of `run`, of the checkpoint that was the newest when it was opened; for one thread alone."""
        space = self.known(identifier)
        if space is None:
            space = LatentSpace(run, self.device)
            with self._lock:  # not while it loads: `known` must not wait
                self._spaces[identifier] = space
                self._spaces.move_to_end(identifier)
                while len(self._spaces) > self.most:
                    self._spaces.popitem(last=False)
        return space
