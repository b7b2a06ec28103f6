"""`folder:` finds images, classes and splits, and says what it leaves out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from ganzoo_plugins.datasets.folder import Folder

from ganzoo.core.errors import DataError, SplitError, UsageError
from ganzoo.core.spec import DataLocation, DataSpec
from tests.data.pictures import GREEN, RED, draw, load


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
