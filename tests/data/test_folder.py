from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from ganzoo_plugins.datasets.folder import Folder
from PIL import Image

from ganzoo.core.errors import DataError, UsageError
from ganzoo.core.spec import DataLocation, DataSpec, Split
from ganzoo.data.images import ImageData

RED, GREEN = (255, 0, 0), (0, 255, 0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


def draw(
    path: Path, mode: str = "RGB", colour: object = RED, size: tuple[int, int] = (12, 12), **options: object
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)  # type: ignore[arg-type]
    return path


def load(where: DataLocation, root: Path, split: Split = "train", image_size: int | None = 8) -> ImageData:
    return Folder().load(where, split, image_size, str(root))


def test_loose_images_have_no_labels(where: DataLocation, root: Path) -> None:
    draw(root / "b.jpg", colour=GREEN)
    draw(root / "a.PNG")
    draw(root / ".hidden.png")
    draw(root / ".thumbnails/c.png")
    (root / "notes.txt").write_text("not an image")
    data = load(where, root)
    assert isinstance(data.images, np.memmap)
    assert data.spec == DataSpec(channels=3, size=8, classes=0)
    assert data.labels is None
    assert data.images[0, :, 4, 4].tolist() == [255, 0, 0]
    assert len(data) == 2
    assert data.notes == ()
    assert load(where, root, image_size=None).spec.size == 64


def test_sub_folders_are_classes(where: DataLocation, root: Path) -> None:
    draw(root / "dog/deep/er/1.png")
    draw(root / "cat/2.png")
    draw(root / "cat/1.webp")
    (root / "empty").mkdir()
    data = load(where, root)
    assert data.class_names == ("cat", "dog")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 1]
    draw(root / "loose.png")
    with pytest.raises(DataError, match=r"and outside: loose\.png\."):
        load(where, root)


def test_train_and_test_folders_are_the_splits(where: DataLocation, root: Path) -> None:
    for name in ("train/a/1.png", "train/b/1.png", "train/b/2.png", "test/b/1.png"):
        draw(root / name)
    train, test = load(where, root), load(where, root, "test")
    assert train.class_names == test.class_names == ("a", "b")
    assert train.labels is not None
    assert test.labels is not None
    assert train.labels.tolist() == [0, 1, 1]
    assert test.labels.tolist() == [1]


def test_without_a_test_folder_everything_is_for_training(where: DataLocation, root: Path) -> None:
    draw(root / "train/1.png")
    assert load(where, root).class_names == ("train",)
    with pytest.raises(DataError, match="no test images: put them into a sub-folder test"):
        load(where, root, "test")


def test_unreadable_files_are_counted_and_named(where: DataLocation, root: Path) -> None:
    draw(root / "good.png")
    draw(root / "grey.png", "L", 9)
    whole = draw(root / "cut.png", size=(200, 200)).read_bytes()
    (root / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "empty.jpg").touch()
    for number in range(3):
        (root / f"text{number}.gif").write_text("hello")
    data = load(where, root)
    assert len(data) == 2
    assert data.spec.channels == 3
    (note,) = data.notes
    assert note.startswith("5 of 7 files skipped: cut.png (")
    assert "empty.jpg (cannot identify image), text0.gif (cannot identify image) and 2 more" in note
    assert load(where, root).notes == data.notes  # also from the cache
    for name in ("good.png", "grey.png"):
        (root / name).unlink()
    with pytest.raises(DataError, match=r"None of the 5 image files can be read: cut\.png"):
        load(where, root)


def test_decompression_bombs_are_skipped(where: DataLocation, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(root / "big.png", size=(90, 90))
    draw(root / "medium.png", size=(40, 40))
    draw(root / "small.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # PIL warns above it and refuses twice as much
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load(where, root)
    assert len(data) == 2
    assert "big.png (Image size (8100 pixels) exceeds limit" in data.notes[0]


@pytest.mark.parametrize(
    ("ending", "mode", "colour", "expected"),
    [
        ("png", "1", 1, [255]),
        ("png", "L", 77, [77]),
        ("png", "LA", (0, 0), [255]),
        ("png", "I;16", 257 * 90, [90]),
        ("tiff", "I", 257 * 30, [30]),
        ("png", "RGBA", (0, 0, 255, 0), [255, 255, 255]),
        ("png", "RGBA", (0, 0, 0, 127), [128, 128, 128]),
        ("gif", "RGB", (255, 0, 0), [255, 0, 0]),
        ("tiff", "CMYK", (0, 255, 255, 0), [255, 0, 0]),
        ("bmp", "RGB", (1, 2, 3), [1, 2, 3]),
    ],
)
def test_pixel_formats(
    where: DataLocation, root: Path, ending: str, mode: str, colour: object, expected: list[int]
) -> None:
    draw(root / f"it.{ending}", mode, colour)
    assert load(where, root).images[0, :, 4, 4].tolist() == expected


def test_palette_with_transparency_is_put_on_white(where: DataLocation, root: Path) -> None:
    image = Image.new("P", (12, 12), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.paste(0, (0, 0, 6, 12))
    image.save(root / "it.png", transparency=0)
    pixels = load(where, root, image_size=12).images[0]
    assert pixels[:, 6, 2].tolist() == [255, 255, 255]
    assert pixels[:, 6, 9].tolist() == [10, 20, 30]


def test_float_pixels_are_skipped_with_the_reason(where: DataLocation, root: Path) -> None:
    draw(root / "it.tiff", "F", 0.5)
    with pytest.raises(DataError, match="float pixels have no defined range"):
        load(where, root)


def test_the_first_frame_of_an_animation(where: DataLocation, root: Path) -> None:
    Image.new("RGB", (12, 12), RED).save(
        root / "it.gif", save_all=True, append_images=[Image.new("RGB", (12, 12), GREEN)]
    )
    assert load(where, root).images[0, :, 4, 4].tolist() == [255, 0, 0]


def test_a_single_pixel_and_a_strip_of_20_000_are_images(where: DataLocation, root: Path) -> None:
    draw(root / "dot.png", colour=(9, 8, 7), size=(1, 1))
    draw(root / "strip.png", colour=(1, 2, 3), size=(20_000, 1))
    images = load(where, root).images
    assert images.shape == (2, 3, 8, 8)
    assert [image[:, 4, 4].tolist() for image in images] == [[9, 8, 7], [1, 2, 3]]
    assert (images == images[:, :, :1, :1]).all()


def test_cropped_in_the_centre_and_turned_upright(where: DataLocation, root: Path) -> None:
    image = Image.new("RGB", (60, 20), GREEN)
    image.paste(RED, (20, 0, 40, 10))
    image.save(root / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(root / "b.png", exif=exif)
    plain, turned = load(where, root, image_size=10).images
    assert plain[:, 1, 4].tolist() == pytest.approx([255, 0, 0], abs=2)  # the filter blurs edges
    assert plain[:, 8, 4].tolist() == pytest.approx([0, 255, 0], abs=2)
    assert np.array_equal(turned, plain[:, ::-1, ::-1])


def test_decoded_once_and_again_when_something_changes(
    where: DataLocation, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = draw(root / "a.png")
    draw(root / "b.png")
    first = load(where, root)
    with monkeypatch.context() as patch:
        patch.setattr("ganzoo_plugins.datasets.pixels.read", lambda *_: pytest.fail("decoded again"))
        assert load(where, root).sha256 == first.sha256
    draw(path, colour=GREEN)
    os.utime(path, ns=(1, 1))
    changed = load(where, root)
    assert changed.sha256 != first.sha256
    path.unlink()
    assert len(load(where, root)) == 1
    assert len(list((where.cache / "folder").iterdir())) == 3


def test_a_damaged_cache_is_built_again(where: DataLocation, root: Path) -> None:
    draw(root / "a.png")
    first = load(where, root)
    (stored,) = (where.cache / "folder").glob("*/images.u8")
    os.truncate(stored, 7)
    assert load(where, root).sha256 == first.sha256


def test_links_are_followed_but_not_in_circles(where: DataLocation, root: Path, tmp_path: Path) -> None:
    draw(tmp_path / "elsewhere/1.png")
    (root / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/up").symlink_to(root)
    (root / "broken.png").symlink_to(root / "nowhere")
    data = load(where, root)
    assert (data.class_names, len(data)) == (("cat",), 1)


def test_file_names_that_are_not_utf8(where: DataLocation, root: Path) -> None:
    try:
        (root / os.fsdecode(b"\xff")).mkdir()
    except OSError:
        pytest.skip("this file system does not allow such names")
    draw(root / os.fsdecode(b"\xff/1.png"))
    assert load(where, root).class_names == ("\N{REPLACEMENT CHARACTER}",)


def test_wrong_paths(where: DataLocation, root: Path) -> None:
    with pytest.raises(DataError, match=f"does not exist. Did you mean {root}"):
        load(where, root.with_name("picturs"))
    with pytest.raises(DataError, match=r"does not exist\.$"):
        load(where, root / "no" / "where")
    with pytest.raises(DataError, match="contains no images"):
        load(where, root)
    with pytest.raises(DataError, match="is a file"):
        load(where, draw(root / "a.png"))
    with pytest.raises(UsageError, match="folder:PATH"):
        Folder().load(where, "train", None, None)
