"""The parquet files of Hugging Face, and every defect of them."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from attn_tutorial.datasets.sources.cifar10 import Cifar10, ImageSourceError, read_cifar10
from attn_tutorial.datasets.sources.finding import find_source, source_key
from attn_tutorial.datasets.sources.layout import CLASSES
from attn_tutorial.datasets.store import prepare

ORDER = np.random.default_rng(0).permutation(100)
TRAIN, TEST = "plain_text/train-00000-of-00001.parquet", "plain_text/test-00000-of-00001.parquet"


def table(rows: list[tuple[object, object]], classes=CLASSES, names=("img", "label")) -> bytes:
    """A parquet file like Hugging Face's, with row groups, from image files and labels."""
    images = pa.array(
        [{"bytes": data, "path": f"{i}.png"} for i, (data, _) in enumerate(rows)],
        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    )
    labels = pa.array([label for _, label in rows])
    about = {"info": {"features": {"label": {"names": list(classes), "_type": "ClassLabel"}}}}
    made = pa.table([images, labels], names=list(names))
    if classes:
        made = made.replace_schema_metadata({"huggingface": json.dumps(about)})
    file = io.BytesIO()
    parquet.write_table(made, file, row_group_size=30)
    return file.getvalue()


@pytest.fixture
def rows(files) -> dict[str, list[tuple[object, object]]]:
    """By split, image files and labels, mixed as in the official order."""
    return {
        split: [(files[f"{split}/{CLASSES[i // 10]}/{i % 10:04}.png"], int(i // 10)) for i in ORDER]
        for split in ("train", "test")
    }


@pytest.fixture
def check_rows(pixels) -> Callable[[Cifar10], None]:
    def check(decoded: Cifar10) -> None:
        for split, part in (("train", decoded.train), ("test", decoded.test)):
            expected = np.stack([pixels(split, i // 10, i % 10) for i in ORDER])
            np.testing.assert_array_equal(part.images, expected)
            np.testing.assert_array_equal(part.labels, ORDER // 10)
            assert (part.images.dtype, part.labels.dtype) == (np.uint8, np.int64)

    return check


@pytest.mark.parametrize("kind", ["images", "images.tgz", "images.zip"])
@pytest.mark.parametrize(
    ("train", "test"),
    [
        (TRAIN, TEST),
        ("train-00000-of-00001-0a1b2c.parquet", "test-00000-of-00001-3d4e5f.parquet"),
        ("cifar10/plain_text/train/0000.parquet", "cifar10/plain_text/test/0000.parquet"),
        ("train/0000.parquet", "test/0000.parquet"),
        ("train.parquet", "test.parquet"),
    ],
)
def test_every_place_of_the_tables(tmp_path: Path, kind: str, train: str, test: str, rows, write, check_rows) -> None:
    if kind != "images":  # only a folder is searched for the folder of the tables
        train, test = train.removeprefix("cifar10/"), test.removeprefix("cifar10/")
    files = {train: table(rows["train"]), test: table(rows["test"], classes=()), "README.md": b"x"}
    decoded = read_cifar10(find_source(write(tmp_path / kind, files)))
    check_rows(decoded)
    name = "cifar10" if train.startswith("cifar10") else kind
    assert decoded.source == f"CIFAR-10, PNG copy (parquet, {name}), a subset of 100 + 100 images"


def test_the_cache_of_hugging_face(tmp_path: Path, rows, write, check_rows) -> None:
    """There the files are links to blobs; alone, the folder of the links is refused by name."""
    links = {f"snapshots/1a2b/{name}": f"../../../blobs/{name[11:15]}" for name in (TRAIN, TEST)}
    files = {"blobs/trai": table(rows["train"]), "blobs/test": table(rows["test"]), "refs/main": b"1a2b"}
    source = write(tmp_path / "datasets--uoft-cs--cifar10", files, links)
    check_rows(read_cifar10(find_source(source)))
    with pytest.raises(ImageSourceError, match=r"The link plain_text/test-00000.* points to .*, which lies outside"):
        read_cifar10(find_source(source / "snapshots" / "1a2b"))


def test_tables_in_parts(tmp_path: Path, rows, write, check_rows) -> None:
    parts = {f"train-{k:05}-of-00003.parquet": table(rows["train"][40 * k : 40 * k + 40]) for k in range(3)}
    source = write(tmp_path / "images", parts | {"test.parquet": table(rows["test"])})
    check_rows(read_cifar10(find_source(source)))
    (source / "train-00001-of-00003.parquet").rename(source / "train-00001-of-00002.parquet")
    with pytest.raises(
        ImageSourceError, match="must be all parts of one table, numbered from 0, but are train-00000-of"
    ):
        read_cifar10(source)
    (source / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(ImageSourceError, match="Download the missing ones"):
        read_cifar10(source)


def test_jpeg_files_in_a_table_are_named_so(tmp_path: Path, rows, write) -> None:
    file = io.BytesIO()
    Image.new("L", (32, 32), 77).save(file, "JPEG")
    rows["test"][5] = (file.getvalue(), rows["test"][5][1])
    decoded = read_cifar10(write(tmp_path / "images", {TRAIN: table(rows["train"]), TEST: table(rows["test"])}))
    assert decoded.source.startswith("CIFAR-10, JPEG copy (parquet, images)")
    assert (decoded.test.images[5] == 77).all()


def changed(rows: list, row: int, image: object = None, label: object = None) -> bytes:
    image, label = image or rows[row][0], rows[row][1] if label is None else label
    return table([*rows[:row], (image, label), *rows[row + 1 :]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda rows: changed(rows, 7, image=b"x"), "row 7 of plain_text/train-.* in .* is not a readable PNG or JPEG"),
        (lambda rows: changed(rows, 60, label=10), "row 60 of .* from 0 to 9 as `label`, but has 10"),
        (lambda rows: changed(rows, 60, label=-1), "row 60 of .* from 0 to 9 as `label`, but has -1"),
        (lambda rows: table([(None, 0), *rows]), "row 0 of .* must have an image file as `bytes` .* but has none"),
        (lambda rows: table([*rows, (rows[0][0], None)]), "row 100 of .* as `label`, but has None"),
        (lambda rows: table([(data, float(label)) for data, label in rows]), "row 0 of .* but has .*[.]0"),
        (lambda rows: table(rows, names=("image", "label")), "columns `img` .*but has the columns image, label"),
        (lambda rows: table(rows, classes=CLASSES[::-1]), "must mean airplane, .*, but mean truck, ship"),
        (lambda rows: table([]), "train in .* must have images, but its parquet files have none"),
        (lambda rows: table(rows)[:-500], "train-.* in .* but is not readable"),
        (lambda rows: table(rows)[:2000] + bytes(4000) + table(rows)[6000:], "train-.* in .* (damaged|not a readable)"),
        (lambda rows: b"", "train-.* in .* but is not readable"),
        (lambda rows: None, "must have parquet files of train and test, but has none of train"),
        (
            lambda rows: table([row for row in rows if row[1] != 3]),
            "at least 10 images of each class, but has 0 of cat",
        ),
    ],
)
def test_bad_tables(tmp_path: Path, make, message: str, rows, write) -> None:
    files = {TRAIN: make(rows["train"]), TEST: table(rows["test"])}
    source = write(tmp_path / "images", {name: data for name, data in files.items() if data is not None})
    with pytest.raises(ImageSourceError, match=message):
        read_cifar10(find_source(source))


def test_tables_in_two_places(tmp_path: Path, rows, write) -> None:
    files = {TRAIN: table(rows["train"]), TEST: table(rows["test"]), "other/test-1.parquet": table(rows["test"])}
    with pytest.raises(ImageSourceError, match=r"parquet files in several places \(other, plain_text\)"):
        read_cifar10(find_source(write(tmp_path / "images", files)))


@pytest.mark.parametrize("kind", ["images", "images.tgz"])
def test_tables_beside_other_forms_are_not_read(tmp_path: Path, kind: str, files, write, check_images) -> None:
    plain = write(tmp_path / "plain", files)
    both = write(tmp_path / kind, files | {"train-1.parquet": b"x", "tables/test-1.parquet": b"x"})
    check_images(read_cifar10(find_source(both)))
    if both.is_dir():
        assert len(source_key(both)) == len(source_key(plain))


def test_an_archive_beside_tables_is_still_the_source(tmp_path: Path, rows, files, write) -> None:
    archive = write(tmp_path / "images.tgz", files)
    write(tmp_path, {f"tables/{name}": table(rows[name[11:].partition("-")[0]]) for name in (TRAIN, TEST)})
    write(tmp_path, {"train.parquet": table(rows["train"])})
    assert find_source(tmp_path) == archive


def test_tables_are_kept_and_their_changes_seen(tmp_path: Path, rows, write, monkeypatch) -> None:
    monkeypatch.delenv("ATTN_TUTORIAL_CIFAR10", raising=False)
    root = tmp_path / "data"
    source = write(root / "raw" / "cifar10", {TRAIN: table(rows["train"]), TEST: table(rows["test"])})
    first = prepare("auto", root)
    assert first.name == "cifar10"
    assert prepare("auto", root) == first
    rows["train"].reverse()
    (source / TRAIN).write_bytes(table(rows["train"]))
    os.utime(source / TRAIN, ns=(0, 0))
    second = prepare("auto", root)
    assert second.fingerprint != first.fingerprint
