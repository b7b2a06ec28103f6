from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ganzoo_plugins.datasets import deadline, files, pixels
from ganzoo_plugins.datasets.folder import Folder
from PIL import Image

from ganzoo.core.errors import DataError, SplitError, UsageError
from ganzoo.core.spec import DataLocation, DataSpec, Split
from ganzoo.data import parallel
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
    data = load(where, root)
    assert isinstance(data.images, np.memmap)
    assert data.spec == DataSpec(channels=3, size=8, classes=0)
    assert data.labels is None
    assert data.images[0, :, 4, 4].tolist() == [255, 0, 0]
    assert len(data) == 2
    assert data.notes == ()
    assert load(where, root, image_size=None).spec.size == 12


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
    draw(root / "cat/1.png")
    assert load(where, root).class_names == ("cat",)
    with pytest.raises(DataError, match="no test split: put its files into a sub-folder test"):
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
    with pytest.raises(DataError, match=r"None of the image files can be read: cut\.png"):
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


@pytest.mark.parametrize(
    ("names", "trained", "tested"),
    [
        (("train/a/1.png", "train/b/2.png", "val/a/3.png"), ("a", "b"), 1),
        (("Training/a/1.png", "Validation/a/3.png"), ("a",), 1),
        (("train/1.png", "TEST/2.png", "TEST/3.png"), (), 2),
        (("train/a/1.png", "train/b/2.png"), ("a", "b"), 0),
        (("train/1.png", "bus/2.png"), ("bus", "train"), 0),
        (("test/1.png", "dog/2.png"), ("dog", "test"), 0),
        (("training_set/a/1.png", "Test-Set/a/2.png"), ("a",), 1),
        (("Train /a/1.png", "dev/a/2.png"), ("a",), 1),
        (("train/a/1.png", "Eval images/a/2.png"), ("a",), 1),
        (("train/a/1.png", "heldout/a/2.png", "more/a/2.png"), ("a",), 2),
        (("photos/train/a/1.png", "photos/train/b/1.png", "photos/test/a/2.png"), ("a", "b"), 1),
        (("photos/a/1.png", "photos/b/2.png"), ("photos",), 0),
        (("train/train/1.png",), ("train",), 0),
    ],
)
def test_the_usual_names_of_splits(
    where: DataLocation, root: Path, names: tuple[str, ...], trained: tuple[str, ...], tested: int
) -> None:
    for name in names:
        draw(root / name)
    assert load(where, root).class_names == trained
    assert len(load(where, root)) == len(names) - tested
    if tested:
        assert len(load(where, root, "test")) == tested - ("more" in str(names))
    else:
        with pytest.raises(SplitError):
            load(where, root, "test")


def test_what_is_beside_the_splits_is_named(where: DataLocation, root: Path) -> None:
    for name in ("train/1.png", "test/2.png", "val/3.png", "more/4.png", "loose.png"):
        draw(root / name)
    assert load(where, root).notes == ("ignored beside train: more, val, loose.png",)


def test_folders_alike_in_names_sizes_and_times_keep_their_own_pixels(where: DataLocation, tmp_path: Path) -> None:
    hashes = set()
    for name, colour in (("one", RED), ("two", GREEN)):
        os.utime(draw(tmp_path / name / "a.bmp", colour=colour), ns=(1, 1))
        hashes.add(load(where, tmp_path / name).sha256)
    path = tmp_path / "two/a.bmp"
    size = path.stat().st_size
    draw(path, colour=(0, 0, 255))
    os.utime(path, ns=(1, 1))
    assert path.stat().st_size == size
    hashes.add(load(where, tmp_path / "two").sha256)
    assert len(hashes) == 3


def test_a_common_size_is_kept_even_if_it_is_not_square(where: DataLocation, root: Path) -> None:
    for number in range(3):
        draw(root / f"{number}.png", size=(20, 12))
    data = load(where, root, image_size=None)
    assert (data.spec.shape, data.notes) == ((3, 12, 20), ())
    assert load(where, root, image_size=8).spec.shape == (3, 8, 8)


def test_other_sizes_become_squares_that_enlarge_nothing_and_are_said(where: DataLocation, root: Path) -> None:
    for number, size in enumerate([(30, 30), (40, 32), (33, 50)]):
        draw(root / f"{number}.png", size=size)
    data = load(where, root, image_size=None)
    assert data.spec.shape == (3, 32, 32)
    assert "3 sizes from 30x30 to 50x33 pixels (height x width) are scaled and cropped to 32x32" in data.notes[0]


def test_the_training_images_decide_colour_and_size_of_both_splits(where: DataLocation, root: Path) -> None:
    draw(root / "train/1.png", "L", 10, size=(20, 12))
    draw(root / "test/1.png", "L", 10, size=(40, 24))
    draw(root / "test/2.png", "RGB", RED)
    train, test = (load(where, root, split, None) for split in ("train", "test"))
    assert train.spec == test.spec
    assert train.spec.shape == (1, 12, 20)
    assert test.notes == ("1 images in colour become grey, as the training images are",)


def test_files_that_are_no_images_are_counted_and_named(where: DataLocation, root: Path) -> None:
    for name in ("a.heic", "b.heic", "scan"):
        (root / name).write_bytes(b"x")
    draw(root / "a.png")
    assert load(where, root).notes == ("3 files ignored (2 .heic, 1 without ending): a.heic, b.heic, scan",)


def test_only_formats_that_hold_pixels_are_opened(where: DataLocation, root: Path) -> None:
    draw(root / "good.png")
    (root / "innocent.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    assert "1 of 2 files skipped: innocent.png (cannot identify image)" in load(where, root).notes[0]


def test_twelve_bits_in_sixteen_are_noticed_and_can_be_stretched_or_kept(where: DataLocation, root: Path) -> None:
    ramp = np.arange(144, dtype=np.uint16).reshape(12, 12) * 28
    Image.fromarray(ramp).save(root / "a.png")
    dark = load(where, root, image_size=None)
    assert "16-bit images use only the values up to 4,004 of 65,535" in dark.notes[0]
    assert "range=0-4095 before the path" in dark.notes[0]
    assert dark.images.max() == 16
    light = Folder().load(where, "train", None, f"range=0-4095:{root}")
    assert (light.images.max(), light.notes) == (249, ())
    kept = Folder().load(where, "train", None, f"bits=16,range=0-4095:{root}")
    assert kept.images.dtype == np.uint16
    assert np.abs(kept.images[0, 0].astype(int) - ramp.astype(int) * 65535 // 4095).max() <= 1
    assert np.array_equal(Folder().load(where, "train", None, f"bits=16:{root}").images[0, 0], ramp)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("sise=3", "there is no option 'sise'. Did you mean size"),
        ("size=8", "expected size=HEIGHTxWIDTH"),
        ("size=0x8", "expected sides of 1 to 4096"),
        ("bits=12", "expected bits=8 or bits=16"),
        ("range=9-3", "expected LOW < HIGH"),
    ],
)
def test_wrong_options_are_refused(where: DataLocation, root: Path, options: str, message: str) -> None:
    draw(root / "a.png")
    with pytest.raises(UsageError, match=message):
        Folder().load(where, "train", None, f"{options}:{root}")


def test_a_size_may_be_asked_for(where: DataLocation, root: Path) -> None:
    draw(root / "a.png", size=(40, 40))
    assert Folder().load(where, "train", None, f"size=10x16:{root}").spec.shape == (3, 10, 16)
    assert Folder().absolute("size=10x16:a").endswith(f"size=10x16:{os.getcwd()}/a"[-20:])


def test_a_link_to_a_class_beside_it_is_a_class(where: DataLocation, root: Path) -> None:
    draw(root / "cat/1.png")
    (root / "kitten").symlink_to(root / "cat")
    data = load(where, root)
    assert (data.class_names, len(data)) == (("cat", "kitten"), 2)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_named(where: DataLocation, root: Path) -> None:
    draw(root / "cat/1.png")
    draw(root / "dog/1.png").parent.chmod(0)
    assert load(where, root).notes == ("1 folders cannot be read: dog/ (Permission denied)",)


def test_class_names_are_composed_characters_and_untrained_classes_are_unknown(where: DataLocation, root: Path) -> None:
    draw(root / "train/Cafe\u0301/1.png")
    draw(root / "test/Caf\u00e9/1.png")
    draw(root / "test/new/1.png")
    train, test = load(where, root), load(where, root, "test")
    assert train.class_names == test.class_names == ("Caf\u00e9",)
    assert test.labels is not None
    assert test.labels.tolist() == [0, -1]
    assert test.notes == ("1 images are of no class of the training images, so their labels are unknown",)


def archive(path: Path, root: Path, folder: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in sorted(root.rglob("*")):
            if name.is_file():
                file.write(name, f"{folder}{name.relative_to(root)}")
    return path


@pytest.mark.parametrize("folder", ["", "photos/"])
def test_an_archive_is_read_like_its_folder(where: DataLocation, root: Path, tmp_path: Path, folder: str) -> None:
    for name in ("train/a/1.png", "train/b/2.png", "test/a/3.png"):
        draw(root / name, colour=GREEN if "b" in name else RED)
    draw(root / "__MACOSX/1.png")
    shutil.rmtree(root / "__MACOSX")
    zipped = archive(tmp_path / "photos.zip", root, folder)
    for split in ("train", "test"):
        of_folder, of_archive = load(where, root, split), load(where, zipped, split)
        assert of_folder.sha256 == of_archive.sha256
        assert of_folder.class_names == of_archive.class_names
        assert of_archive.notes == ()


def test_labels_of_an_archive_as_stylegan_writes_them(where: DataLocation, root: Path, tmp_path: Path) -> None:
    for number in range(3):
        draw(root / f"00000/img{number}.png")
    labels = [["00000/img0.png", 4], ["00000/img2.png", 0]]
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))
    for place in (root, archive(tmp_path / "photos.zip", root)):
        data = load(where, place)
        assert data.labels is not None
        assert data.labels.tolist() == [4, -1, 0]
        assert data.class_names == ("0", "1", "2", "3", "4")
    (root / "dataset.json").write_text('{"labels": null}')
    assert load(where, root).labels is None
    for damage in ('{"labels": [[1]]}', "[]", "{", '{"labels": [["00000/img0.png", "cat"]]}'):
        (root / "dataset.json").write_text(damage)
        with pytest.raises(DataError, match=r"dataset\.json"):
            load(where, root)


def test_damaged_archives_are_refused(where: DataLocation, root: Path, tmp_path: Path) -> None:
    draw(root / "a.png")
    zipped = archive(tmp_path / "photos.zip", root)
    content = zipped.read_bytes()
    zipped.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="expected a folder or a zip archive"):
        load(where, zipped)
    damaged = bytearray(content)
    damaged[60] ^= 255  # in the compressed pixels
    zipped.write_bytes(damaged)
    with pytest.raises(DataError, match=r"None of the image files can be read: a\.png"):
        load(where, zipped)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="works in this process")
def test_workers_decode_what_one_process_does(
    where: DataLocation, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for number in range(70):
        pixels = rng.integers(0, 256, (11, 13, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number:03d}.png")
    (root / "040.png").write_bytes(b"no picture")
    packed = archive(tmp_path / "packed.zip", root)
    alone = load(where, root)
    monkeypatch.setattr(parallel, "FEW", 1)
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0, 1, 2})
    state = torch.get_rng_state()
    for number, source in enumerate((root, packed)):
        data = load(DataLocation(None, tmp_path / f"cache-{number}"), source)
        assert np.array_equal(data.images, alone.images)
        assert (data.sha256, data.notes) == (alone.sha256, alone.notes)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_worker_that_is_killed_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "FEW", 1)
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0, 1})
    parent = os.getpid()
    with pytest.raises(DataError, match="The files cannot be read: DataLoader worker"):
        list(parallel.in_order(lambda _: os.getpid() == parent or os.kill(os.getpid(), 9), 100, "Working"))


def test_progress_is_said_from_the_first_second(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = iter(range(100))
    monkeypatch.setattr(parallel.time, "monotonic", lambda: 0.6 * next(now))
    assert list(parallel.in_order(lambda number: number, 20, "Decoding images")) == list(range(20))
    assert caplog.messages[0] == "Decoding images: 1 of 20, 1 per second"
    assert len(caplog.messages) == 3


def test_a_file_that_never_ends_is_skipped(where: DataLocation, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(root / "a.png")
    draw(root / "b.png")
    ordinary, count = pixels.read, 0

    def stuck(*arguments: object) -> pixels.Pixels:
        nonlocal count
        count += 1
        while count == 1:
            pass
        return ordinary(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(deadline, "SECONDS", 0.2)
    monkeypatch.setattr(pixels, "read", stuck)
    data = load(where, root)
    assert (len(data), data.notes) == (1, ("1 of 2 files skipped: a.png (it takes longer than 0.2 s to decode)",))


def test_a_long_search_for_files_says_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "tom.png").touch()
    now = itertools.count()
    monkeypatch.setattr(files.time, "monotonic", lambda: 6.0 * next(now))
    assert len(files.listing(str(tmp_path)).files) == 1
    assert caplog.messages[-1] == f"Looking for files in {tmp_path}: 0 so far, now in cats/"
