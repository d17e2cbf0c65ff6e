"""Every form of CIFAR-10, and every defect of it, in small archives made on the spot."""

import gzip
import hashlib
import io
import os
import pickle
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attn_tutorial.datasets.sources import cifar10
from attn_tutorial.datasets.sources.cifar10 import CLASSES, ImageSourceError, read_cifar10
from attn_tutorial.datasets.sources.finding import find_source, source_key

PER_CLASS = 10


def pixels(split: str, label: int, number: int) -> np.ndarray:
    """An image that differs from every other one."""
    seed = [("train", "test").index(split), label, number]
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def encoded(array: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return file.getvalue()


def class_files(kind: str = "PNG", ending: str = "png") -> dict[str, bytes]:
    return {
        f"{split}/{name}/{number:04}.{ending}": encoded(pixels(split, label, number), kind)
        for split in ("train", "test")
        for label, name in enumerate(CLASSES)
        for number in range(PER_CLASS)
    }


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def tar(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        # members in an order of their own: reading must sort them
        for name in sorted(files, key=lambda name: hashlib.md5(name.encode()).digest()):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            archive.addfile(member, io.BytesIO(files[name]))
    return path


def python2_batch(rows: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 pickled it (protocol 2, byte strings), like those of the official archive."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    def integer(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + b"K\x00\x85" + text(b"b") + b"\x87R"
    dtype = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNN"
    dtype += integer(-1) * 2 + b"K\x00tb"
    shape = b"".join(map(integer, rows.shape)) + b"\x86"
    array += b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<I", rows.nbytes) + rows.tobytes() + b"tb"
    listed = b"](" + b"".join(map(integer, labels)) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + listed + b"u."


def batch_files() -> tuple[dict[str, bytes], dict[str, tuple[np.ndarray, list[int]]]]:
    """Six official-like batches, and the images (N, 32, 32, 3) and labels of each."""
    rng = np.random.default_rng(0)
    truth, files = {}, {}
    for name in (
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
        "test_batch",
    ):
        images = rng.integers(0, 256, (100, 32, 32, 3), dtype=np.uint8)
        labels = rng.permutation(np.arange(100) % 10).tolist()
        rows = np.stack([np.concatenate([image[..., c].ravel() for c in range(3)]) for image in images])
        files[f"cifar-10-batches-py/{name}"] = python2_batch(rows, labels)
        truth[name] = (images, labels)
    return files, truth


def check_class_images(decoded: cifar10.Cifar10) -> None:
    for split, part in (("train", decoded.train), ("test", decoded.test)):
        expected = [pixels(split, label, number) for label in range(10) for number in range(PER_CLASS)]
        np.testing.assert_array_equal(part.images, np.stack(expected))
        np.testing.assert_array_equal(part.labels, np.repeat(np.arange(10), PER_CLASS))


@pytest.mark.parametrize("wrapper", ["", "CIFAR-10-images/", "./"])
@pytest.mark.parametrize("ending", ["tar.gz", "tgz", "tar", "zip"])
def test_class_folders_in_an_archive(tmp_path: Path, ending: str, wrapper: str) -> None:
    files = {wrapper + name: data for name, data in class_files().items()}
    files |= {wrapper + "README.md": b"x", wrapper + "train/.DS_Store": b"x"}
    files["__MACOSX/train/cat/._0001.png"] = b"x"
    path = tmp_path / f"images.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in sorted(files, reverse=True):
                archive.writestr(name, files[name])
    else:
        tar(path, files, "w" if ending == "tar" else "w:gz")
    decoded = read_cifar10(find_source(path))
    check_class_images(decoded)
    assert decoded.archive_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert decoded.source == f"CIFAR-10, PNG copy (class folders, images.{ending}), a subset of 100 + 100 images"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name], "something was extracted"


@pytest.mark.parametrize("wrapper", ["", "wrapped"])
def test_class_folders_on_disk(tmp_path: Path, wrapper: str) -> None:
    put(tmp_path / "images" / wrapper, class_files())
    decoded = read_cifar10(find_source(tmp_path / "images"))
    check_class_images(decoded)
    assert decoded.archive_sha256 is None


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "JPG"])
def test_jpeg_copies_are_named_so(tmp_path: Path, ending: str) -> None:
    decoded = read_cifar10(put(tmp_path / "images", class_files("JPEG", ending)))
    assert "CIFAR-10, JPEG copy" in decoded.source
    image = Image.open(io.BytesIO(encoded(pixels("test", 9, 9), "JPEG")))
    np.testing.assert_array_equal(decoded.test.images[-1], np.asarray(image))


def test_grey_images_become_rgb(tmp_path: Path) -> None:
    files = class_files()
    grey = pixels("train", 0, 0)[..., 0]
    files["train/airplane/0000.png"] = encoded(grey)
    decoded = read_cifar10(put(tmp_path, files))
    np.testing.assert_array_equal(decoded.train.images[0], np.repeat(grey[..., None], 3, axis=2))


def test_folder_that_holds_an_archive(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("about")
    path = tar(tmp_path / "images.tgz", class_files())
    assert find_source(tmp_path) == path
    shutil.copy(path, tmp_path / "again.tgz")
    with pytest.raises(ImageSourceError, match=r"several sources of images \(again\.tgz, images\.tgz\)"):
        find_source(tmp_path)
    shutil.copy(path, tmp_path / cifar10.ARCHIVE_NAME)
    assert find_source(tmp_path).name == cifar10.ARCHIVE_NAME


def check_batches(decoded: cifar10.Cifar10, truth: dict[str, tuple[np.ndarray, list[int]]]) -> None:
    train = [truth[f"data_batch_{number}"] for number in range(1, 6)]
    np.testing.assert_array_equal(decoded.train.images, np.concatenate([images for images, _ in train]))
    np.testing.assert_array_equal(decoded.train.labels, np.concatenate([labels for _, labels in train]))
    np.testing.assert_array_equal(decoded.test.images, truth["test_batch"][0])
    np.testing.assert_array_equal(decoded.test.labels, truth["test_batch"][1])


def test_unpacked_batches(tmp_path: Path) -> None:
    files, truth = batch_files()
    put(tmp_path, files)
    decoded = read_cifar10(find_source(tmp_path))
    check_batches(decoded, truth)
    assert decoded.archive_sha256 is None
    assert "unpacked batches (cifar-10-batches-py)" in decoded.source


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "renamed.tgz"])
def test_official_archive_only_with_its_md5(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files, truth = batch_files()
    path = tar(tmp_path / name, files)
    with pytest.raises(ImageSourceError, match=f"official archive, {cifar10.ARCHIVE_MD5}"):
        read_cifar10(path)
    monkeypatch.setattr(cifar10, "ARCHIVE_MD5", hashlib.md5(path.read_bytes()).hexdigest())
    decoded = read_cifar10(path)
    check_batches(decoded, truth)
    assert decoded.source.startswith("CIFAR-10, official archive")
    assert decoded.archive_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


class _Evil:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("owned",)


def test_pickled_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files, _ = batch_files()
    files["cifar-10-batches-py/data_batch_3"] = pickle.dumps(_Evil())
    put(tmp_path, files)
    with pytest.raises(ImageSourceError, match=r"data_batch_3 in .* it refers to \w+\.mkdir"):
        read_cifar10(find_source(tmp_path))
    assert not (tmp_path / "owned").exists()
    pickle.loads(pickle.dumps(_Evil()))
    assert (tmp_path / "owned").exists(), "the pickle was harmless, so this test showed nothing"


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (b"", "data_batch_2 in .* is not a batch"),
        (pickle.dumps({"data": np.zeros((3, 3072), np.uint8), "labels": [0, 1]}), "not 2 rows of 3072 bytes"),
        (
            pickle.dumps({"data": np.zeros((2, 3072), np.float32), "labels": [0, 1]}),
            "not 2 rows of 3072 bytes",
        ),
        (pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 10]}), "not numbers from 0 to 9"),
        (pickle.dumps({"data": np.zeros((2, 3072), np.uint8)}), "data_batch_2 in .* is not a batch"),
        (None, "lacks data_batch_2"),
    ],
)
def test_broken_batch(tmp_path: Path, batch: bytes | None, message: str) -> None:
    files, _ = batch_files()
    if batch is None:
        del files["cifar-10-batches-py/data_batch_2"]
    else:
        files["cifar-10-batches-py/data_batch_2"] = batch
    put(tmp_path, files)
    with pytest.raises(ImageSourceError, match=message):
        read_cifar10(find_source(tmp_path))


@pytest.mark.parametrize("ending", ["tar.gz", "tar", "zip"])
def test_truncated_archive(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"images.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in class_files().items():
                archive.writestr(name, data)
    else:
        tar(path, class_files(), "w" if ending == "tar" else "w:gz")
    whole = path.read_bytes()
    for share in (0, 0.3, 0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ImageSourceError, match=r"cannot be read to its end .* truncated.*download it again"):
            read_cifar10(path)


def test_tar_cut_between_two_members(tmp_path: Path) -> None:
    path = tar(tmp_path / "images.tar", class_files() | {"train/cat/zzzz.png": encoded(pixels("train", 3, 99))}, "w")
    with tarfile.open(path) as archive:
        last = archive.getmembers()[-1]
    with path.open("r+b") as file:
        file.truncate(last.offset)
    with pytest.raises(ImageSourceError, match="truncated"):
        read_cifar10(path)


def test_tar_with_a_damaged_header(tmp_path: Path) -> None:
    """tarfile takes the header for the end, and a smaller set would come out of it."""
    whole = gzip.decompress(tar(tmp_path / "whole.tar.gz", class_files()).read_bytes())
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        member = archive.getmembers()[150]
    damaged = bytearray(whole)
    damaged[member.offset : member.offset + 8] = b"\xff" * 8
    for path, content in (("damaged.tar", bytes(damaged)), ("damaged.tar.gz", gzip.compress(bytes(damaged)))):
        (tmp_path / path).write_bytes(content)
        with pytest.raises(ImageSourceError, match="damaged"):
            read_cifar10(tmp_path / path)


def test_archive_whose_checksum_is_wrong_or_cut_off(tmp_path: Path) -> None:
    whole = tar(tmp_path / "whole.tar.gz", class_files()).read_bytes()
    wrong = whole[:-8] + bytes(byte ^ 1 for byte in whole[-8:-4]) + whole[-4:]
    for content in (whole[:-6], wrong):
        (tmp_path / "bad.tar.gz").write_bytes(content)
        with pytest.raises(ImageSourceError):
            read_cifar10(tmp_path / "bad.tar.gz")


def test_truncated_official_archive(tmp_path: Path) -> None:
    path = tar(tmp_path / cifar10.ARCHIVE_NAME, batch_files()[0])
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ImageSourceError, match=r"must have the md5 .* incomplete or altered.*data fetch"):
        read_cifar10(path)


def _without_class(files: dict[str, bytes]) -> None:
    for name in [name for name in files if name.startswith("test/frog/")]:
        del files[name]


def _put(name: str, data: bytes):
    return lambda files: files.__setitem__(name, data)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_put("train/cat/notes.txt", b"hello"), r"train/cat/notes\.txt in .* is not an image by its name"),
        (_put("train/cat/0003.png", b"hello"), r"train/cat/0003\.png in .* not a readable PNG or JPEG"),
        (_put("train/cat/0003.png", b""), r"train/cat/0003\.png in .* not a readable PNG or JPEG"),
        (
            _put("train/cat/0003.png", encoded(pixels("train", 3, 3), "GIF")),
            r"0003\.png in .* not a readable PNG",
        ),
        (
            _put("train/cat/0003.png", encoded(pixels("train", 3, 3))[:-900]),
            r"0003\.png in .* not a readable PNG",
        ),
        (
            _put("test/dog/big.png", encoded(np.zeros((64, 32, 3), np.uint8))),
            r"big\.png .* 32×32 pixels, but has 32×64",
        ),
        (_put("test/dog/vast.png", b"x" * 70_000), r"vast\.png .* at most 65,536 bytes, but has 70,000"),
        (
            _put("train/zebra/0000.png", encoded(pixels("train", 0, 0))),
            "unknown class folder zebra.*airplane, auto",
        ),
        (_put("train/cat/more/0000.png", encoded(pixels("train", 0, 0))), "does not lie at"),
        (_put("copy/train/cat/0000.png", encoded(pixels("train", 0, 0))), "several places"),
        (_without_class, "test/ in .* lacks images of frog"),
        (lambda files: files.pop("test/ship/0000.png"), "test in .* at least 10 .* each class, but has 9 of ship"),
    ],
)
def test_bad_class_folders(tmp_path: Path, change, message: str, packed: bool) -> None:
    files = class_files()
    change(files)
    source = tar(tmp_path / "images.tgz", files) if packed else put(tmp_path / "images", files)
    with pytest.raises(ImageSourceError, match=message):
        read_cifar10(find_source(source))


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(ImageSourceError, match=r"missing does not exist\. CIFAR-10 must be"):
        find_source(tmp_path / "missing")
    with pytest.raises(ImageSourceError, match=r"contains no CIFAR-10 images\. CIFAR-10 must be"):
        find_source(tmp_path)
    (tmp_path / "train" / "cat").mkdir(parents=True)
    with pytest.raises(ImageSourceError, match=r"contains no CIFAR-10 images\. CIFAR-10 must be"):
        read_cifar10(find_source(tmp_path))
    (tmp_path / "images.rar").write_bytes(b"x")
    with pytest.raises(ImageSourceError, match=r"CIFAR-10 must be .*images\.rar is not an archive of a known kind"):
        find_source(tmp_path / "images.rar")
    with pytest.raises(ImageSourceError, match=r"contains no CIFAR-10 images\. CIFAR-10 must be"):
        read_cifar10(tar(tmp_path / "other.tgz", {"a/b.txt": b"x"}))


def test_source_key_follows_changes(tmp_path: Path) -> None:
    folder = put(tmp_path / "images", class_files())
    key = source_key(folder)
    assert source_key(folder) == key
    assert len(key) == 1 + 20, "the folder itself and the twenty class folders, not each file"
    (folder / "test" / "cat" / "9999.png").write_bytes(b"")
    assert source_key(folder) != key
    archive = tar(tmp_path / "images.tgz", class_files())
    key = source_key(archive)
    archive.write_bytes(archive.read_bytes() + b"\0")
    assert source_key(archive) != key
    batches = put(tmp_path, batch_files()[0]) / "cifar-10-batches-py"
    key = source_key(batches)
    (batches / "test_batch").write_bytes(b"other")
    assert source_key(batches) != key
