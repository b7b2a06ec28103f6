"""A trained generator to play with: the same pictures as the commands make, and one message for bad requests."""

from __future__ import annotations

import io
import json
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import ganzoo
from ganzoo import latents
from ganzoo.core.errors import UsageError
from ganzoo.explore import uploads
from ganzoo.explore.latent_space import LatentSpace, LatentSpaces
from ganzoo.explore.recipe import Recipe
from ganzoo.explore.server import decibels
from ganzoo.gan import GAN
from ganzoo.training.run import Run

PINS = [{"seed": 1, "label": 3}, {"seed": 2, "label": 8}, {"seed": 3, "label": 0}, {"seed": 4, "label": 5}]
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def space(trained: Path) -> LatentSpace:
    return LatentSpace(Run.open(trained / "images"))


@pytest.fixture(scope="module")
def gan(trained: Path) -> GAN:
    return ganzoo.load(trained / "images")


@pytest.fixture
def ask(client: Any, identifiers: Callable[[str], str]) -> Ask:
    """Post to an address of the run `images`."""
    base = f"/api/runs/{identifiers('images')}"
    return lambda path, **body: client.post(f"{base}/{path}", json=body)


def recipe(**changes: Any) -> Recipe:
    return Recipe.of({"pins": PINS, **changes})


def test_a_pin_is_the_sample_of_its_seed(space: LatentSpace, gan: GAN) -> None:
    for (x, y), pin in zip([(0, 0), (1, 0), (0, 1), (1, 1)], PINS):
        expected = gan.sample(1, [pin["label"]], pin["seed"])[0]
        assert space.picture(recipe(x=x, y=y)).equal(expected)


def test_the_pad_is_the_grid_of_ganzoo_latents(space: LatentSpace, gan: GAN) -> None:
    points = latents.of_seeds(gan, [1, 2, 3, 4], [3, 8, 0, 5])
    grid = latents.render(gan, latents.corners(points, 3, 3))
    assert space.picture(recipe(x=0.5, y=0.5)).equal(grid[4])
    assert space.picture(recipe(x=0.5, y=0)).equal(grid[1])


def test_arithmetic_classes_and_directions_change_the_picture(space: LatentSpace, gan: GAN) -> None:
    plain = space.picture(recipe())
    a, b, c = (latents.of_seeds(gan, [seed], [label]) for seed, label in ((1, 3), (2, 8), (3, 0)))
    expected = latents.render(gan, latents.combine([(1, a), (-1, b), (1, c)]))[0]
    assert space.picture(recipe(mode="arithmetic")).equal(expected)
    assert space.picture(recipe(classes=[3, 8, 0])).equal(plain)
    assert not space.picture(recipe(classes=[3, 8, 0.5])).equal(plain)
    vector = space.directions("sefa").vectors[1]
    moved = latents.render(gan, latents.Latents(a.z + 2 * vector, a.condition))[0]
    assert space.picture(recipe(moves=[["sefa", 1, 2]])).equal(moved)
    assert space.picture(recipe(moves=[["sefa", 1, 0]])).equal(plain)


def test_truncation_draws_pins_nearer_to_the_middle(space: LatentSpace, gan: GAN) -> None:
    expected = latents.render(gan, latents.of_seeds(gan, [1], [3], truncation=0.5))[0]
    assert space.picture(recipe(truncation=0.5)).equal(expected)


def test_the_code_makes_the_picture_again(space: LatentSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for changes in (
        {"x": 0.3, "y": 0.8},
        {"mode": "arithmetic"},
        {"moves": [["sefa", 0, 1.5]], "classes": [1, 2, 0.4]},
    ):
        (tmp_path / "picture.npz").write_bytes(space.npz(recipe(**changes)))
        scope: dict[str, Any] = {}
        exec(space.code(recipe(**changes)), scope)
        assert scope["image"].equal(space.picture(recipe(**changes)))


def test_the_command_of_the_walk(space: LatentSpace) -> None:
    assert recipe(truncation=0.5).walk_command("a b", 60) == (
        "ganzoo walk 'a b' --seeds 1,2,3,4 --label 3 --label 8 --label 0 --label 5 "
        "--truncation 0.5 --frames 60 --out walk.gif"
    )


def test_files_to_keep(ask: Ask, space: LatentSpace) -> None:
    body = {"pins": PINS, "x": 0.5}
    expected = space.picture(recipe(x=0.5))
    with Image.open(io.BytesIO(ask("file/png", **body).content)) as png:
        assert np.array_equal(np.asarray(png), expected[0].numpy())
        assert png.info["step"] == "6"
    with np.load(io.BytesIO(ask("file/npz", **body).content)) as npz:
        assert np.array_equal(npz["image"], expected.numpy())
        assert npz["z"].shape == (100,)
    with Image.open(io.BytesIO(ask("file/gif", **body).content)) as gif:
        assert gif.n_frames > 30
    assert ask("file/exe", **body).status_code == 400


def test_a_frame_is_the_bytes_of_the_picture(ask: Ask, space: LatentSpace) -> None:
    frame = np.frombuffer(ask("frame", pins=PINS, x=0.25, y=0.5).content, np.uint8).reshape(8, 8, 1)
    assert np.array_equal(frame.transpose(2, 0, 1), space.picture(recipe(x=0.25, y=0.5)).numpy())
    wall = np.frombuffer(ask("wall", pins=PINS[:3]).content, np.uint8).reshape(3, 8, 8)
    assert np.array_equal(wall[0], space.picture(recipe())[0].numpy())


def test_what_is_known_about_a_picture(ask: Ask, space: LatentSpace) -> None:
    known = ask("about", pins=PINS).json()
    assert 0 <= known["score"]["value"] <= 1
    assert known["score"]["probability"]
    rms = [image["rms"] for image in known["nearest"]]
    assert len(rms) == 4
    assert rms == sorted(rms)
    best = known["nearest"][0]["index"]
    difference = space.picture(recipe()).float() - torch.from_numpy(space._training_images.images[best]).float()
    assert rms[0] == pytest.approx(float(difference.square().mean().sqrt()), rel=1e-4)


def test_training_images_that_are_elsewhere_are_one_message(
    ask: Ask, runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config = json.loads((runs / "images" / "config.json").read_text())
    config["dataset"]["name"] = "mnist"
    (runs / "images" / "config.json").write_text(json.dumps(config))
    known = ask("about", pins=PINS).json()
    assert known["nearest"] == []
    assert known["reason"] == "The training images are not on this machine: mnist. Set GANZOO_DATA to where they are."


def picture_file(pixels: Any, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=format)
    return file.getvalue()


def test_a_projected_image_becomes_a_pin(client: Any, identifiers: Any, ask: Ask, space: LatentSpace) -> None:
    base = f"/api/runs/{identifiers('images')}"
    image = space.picture(recipe(x=0.4, y=0.7))[0].numpy()
    found = client.post(f"{base}/project?label=3", content=picture_file(image)).json()
    assert found["psnr"] >= found["random_psnr"]
    pins = [{"image": found["image"]}, *PINS[1:]]
    assert ask("frame", pins=pins).status_code == 200
    known = ask("about", pins=pins).json()
    assert known["walk"] is None
    assert "picture.npz" in known["code"]
    gone = ask("frame", pins=[{"image": "0" * 12}, *PINS[1:]])
    assert gone.json()["error"].startswith("A projected image is no longer there")
    assert client.get(f"{base}/latent").json()["projected"] == [found["image"]]


def test_the_runs_that_are_used_stay_open(trained: Path) -> None:
    run = Run.open(trained / "images")
    spaces = LatentSpaces(most=2)
    first = spaces.get("first", run)
    spaces.get("second", run)
    assert spaces.known("first") is first
    spaces.get("third", run)
    assert spaces.known("first") is first
    assert spaces.known("second") is None


def test_networks_are_not_copied_for_a_projection_while_they_make_a_picture(
    client: Any, identifiers: Any, space: LatentSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy would keep the hooks that mixing classes sets for a moment."""
    busy, copied_while_busy = threading.Event(), []
    render, copy_of_gan = latents.render, LatentSpace.copy_of_gan

    def slow_render(*arguments: Any) -> Any:
        busy.set()
        time.sleep(0.5)
        busy.clear()
        return render(*arguments)

    def copied(self: LatentSpace) -> GAN:
        copied_while_busy.append(busy.is_set())
        return copy_of_gan(self)

    monkeypatch.setattr(LatentSpace, "copy_of_gan", copied)
    base, image = f"/api/runs/{identifiers('images')}", space.picture(recipe())[0].numpy()
    assert client.post(f"{base}/frame", json={"pins": PINS}).status_code == 200
    monkeypatch.setattr(latents, "render", slow_render)
    with ThreadPoolExecutor() as pool:
        frame = pool.submit(client.post, f"{base}/frame", json={"pins": PINS, "x": 0.5})
        assert busy.wait(10)
        assert client.post(f"{base}/project", content=picture_file(image)).status_code == 200
        assert frame.result().status_code == 200
    assert copied_while_busy == [False]


def test_images_that_are_not_square_are_projected_and_have_neighbours(client: Any, runs: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (40, 16, 32), dtype=np.uint8)
    for number, picture in enumerate(pictures):
        folder = runs.parent / "wide" / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number}.png")
    settings = {"width": 8, "batch_size": 8}
    ganzoo.train("cgan", dataset=f"folder:{runs.parent / 'wide'}", out=runs / "wide", steps=2, settings=settings)
    identifier = next(run["id"] for run in client.get("/api/home").json()["runs"] if run["name"] == "wide")
    found = client.post(f"/api/runs/{identifier}/project", content=picture_file(pictures[0])).json()
    assert found["psnr"] >= found["random_psnr"]
    about = client.post(f"/api/runs/{identifier}/about", json={"pins": [{"image": found["image"]}] * 4}).json()
    assert about["reason"] == ""
    assert about["nearest"]


def test_a_picture_of_a_gan_with_packs_has_no_verdict_but_can_be_projected(tmp_path: Path) -> None:
    settings = {"pack": 2, "batch_size": 8, "width": 8}
    ganzoo.train("dcgan", dataset="digits", out=tmp_path / "packs", steps=1, settings=settings, callbacks=[])
    space = LatentSpace(Run.open(tmp_path / "packs"))
    assert space.score(recipe()) is None
    image = torch.zeros(space.gan.spec.shape, dtype=torch.uint8)
    _, found = space.project(space.copy_of_gan(), image, None)
    assert found.psnr >= found.random_psnr


def test_an_infinite_ratio_is_said_in_json() -> None:
    assert [decibels(ratio) for ratio in (12.345, float("inf"))] == [12.35, "∞"]


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(40), b"<svg/>", b"%PDF-1.4"])
def test_an_upload_that_is_no_image_is_one_message(content: bytes, client: Any, identifiers: Any) -> None:
    response = client.post(f"/api/runs/{identifiers('images')}/project", content=content)
    assert response.status_code == 400
    assert response.json()["error"].startswith("This file is not an image that can be read.")


def test_uploads_are_bounded_in_bytes_and_in_pixels(client: Any, identifiers: Any) -> None:
    path = f"/api/runs/{identifiers('images')}/project"
    assert "16 MiB" in client.post(path, content=bytes(uploads.MAX_BYTES + 1)).json()["error"]
    bomb = picture_file(np.zeros((6000, 6000), np.uint8))
    assert len(bomb) < 200_000
    assert "million pixels" in client.post(path, content=bomb).json()["error"]


def test_uploads_are_fitted_to_the_images_of_the_gan() -> None:
    colour = np.full((20, 30, 3), (255, 0, 0), np.uint8)
    for format in ("PNG", "WEBP", "BMP"):
        image = uploads.decode(picture_file(colour, format), (3, 16, 16))
        assert image.shape == (3, 16, 16)
        assert image[:, 8, 8].tolist() == pytest.approx([255, 0, 0], abs=6)
    clear = np.zeros((8, 8, 4), np.uint8)
    assert uploads.decode(picture_file(clear), (1, 8, 8)).eq(255).all()
    with pytest.raises(UsageError, match="1 or 3 channels"):
        uploads.decode(picture_file(colour), (2, 16, 16))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"pins": []},
        {"pins": PINS[:3]},
        {"pins": [1, 2, 3, 4]},
        {"pins": [{"seed": -1}] * 4},
        {"pins": [{"seed": 1 << 70}] * 4},
        {"pins": [{"seed": 1, "label": 99}] * 4},
        {"pins": [{"seed": True}] * 4},
        {"pins": PINS, "x": 2},
        {"pins": PINS, "x": "left"},
        {"pins": PINS, "mode": "fly"},
        {"pins": PINS, "truncation": 0},
        {"pins": PINS, "classes": [1]},
        {"pins": PINS, "classes": [1, 99, 0.5]},
        {"pins": PINS, "moves": [["sefa", 99, 1]]},
        {"pins": PINS, "moves": [["magic", 0, 1]]},
        {"pins": PINS, "moves": [["sefa", 0, 1e9]]},
        {"pins": PINS, "moves": 7},
    ],
)
def test_a_request_that_the_page_does_not_make_is_one_message(body: dict[str, Any], ask: Ask) -> None:
    response = ask("frame", **body)
    assert response.status_code == 400
    assert "\n" not in response.json()["error"]
    assert ask("frame", pins=PINS).status_code == 200


def test_a_broken_checkpoint_is_one_message(client: Any, identifiers: Any, runs: Path) -> None:
    identifier = identifiers("images")
    for file in (runs / "images" / "checkpoints").glob("*/ema.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    response = client.get(f"/api/runs/{identifier}/latent")
    assert response.status_code == 409
    assert "checkpoint" in response.json()["error"]
    assert client.get("/api/home").status_code == 200


def test_runs_of_points_and_vanished_runs_are_refused(client: Any, identifiers: Any, ask: Ask, runs: Path) -> None:
    assert "generates points" in client.get(f"/api/runs/{identifiers('more/points')}/latent").json()["error"]
    assert ask("frame", pins=PINS).status_code == 200
    shutil.rmtree(runs / "images")
    assert ask("frame", pins=PINS).json()["error"].startswith("This run is no longer there")
