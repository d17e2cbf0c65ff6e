"""Archives and folders as other systems and tools write them."""

import io
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from attn_tutorial.datasets.sources.batches import read_batches
from attn_tutorial.datasets.sources.cifar10 import ImageSourceError, read_cifar10
from attn_tutorial.datasets.sources.finding import find_source
from attn_tutorial.datasets.sources.layout import BATCH_NAMES


@pytest.mark.parametrize("system", [0, 3], ids=["windows", "unix"])
@pytest.mark.parametrize("wrapper", ["", "CIFAR-10\\", "CIFAR-10/"])
def test_a_zip_with_backslashes(tmp_path: Path, wrapper: str, system: int, files, check_images) -> None:
    if "/" in wrapper and system == 3:
        pytest.skip("only Windows mixes the two")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        names = [wrapper + "train\\", *(wrapper + name.replace("/", "\\") for name in files)]
        for name, data in zip(names, [b"", *files.values()], strict=True):
            member = zipfile.ZipInfo(name)
            member.create_system = system
            archive.writestr(member, data)
    check_images(read_cifar10(tmp_path / "images.zip"))


def test_a_backslash_in_a_files_own_name_stays(tmp_path: Path, files, write, check_images) -> None:
    files["train/cat/0003\\a.png"] = files.pop("train/cat/0003.png")
    check_images(read_cifar10(write(tmp_path / "images.zip", files)))


def test_two_names_for_one_file_are_refused(tmp_path: Path, files, write) -> None:
    twice = files | {"train\\cat\\0003.png": files["train/cat/0004.png"]}
    with pytest.raises(ImageSourceError, match=r"'train/cat/0003\.png' and 'train.*' mean the same file"):
        read_cifar10(write(tmp_path / "images.zip", twice))
    twice = files | {"./train/cat/0003.png": files["train/cat/0004.png"]}
    with pytest.raises(ImageSourceError, match=r"'train/cat/0003\.png' and '\./train/.*' mean the same file"):
        read_cifar10(write(tmp_path / "images.tgz", twice))


@pytest.mark.parametrize("kind", ["images", "images.tgz", "images.zip"])
def test_what_systems_leave_beside_images_is_ignored(tmp_path: Path, kind: str, files, write, check_images) -> None:
    for folder in ("", "train/", "train/cat/"):
        for name in ("Thumbs.db", "thumbs.db", "desktop.ini", "Desktop.ini", ".DS_Store", "._0001.png"):
            files[folder + name] = b"x"
        files[f"{folder}@eaDir/0001.png/SYNOFILE_THUMB_M.png"] = b"x"
        files[f"{folder}@eaDir/0001.png"] = b"x"
        files[f"{folder}__MACOSX/._0001.png"] = b"x"
        files[f"{folder}__MACOSX/train/cat/0001.png"] = b"x"
    for folder in ("", "train/", "train/cat/") if kind == "images" else ():  # a name cannot be a file and a folder
        del files[f"{folder}@eaDir/0001.png"]
    check_images(read_cifar10(find_source(write(tmp_path / kind, files))))


@pytest.mark.parametrize("name", ["train/cat/notes.txt", "train/cat/Thumbs.db.png", "train/Thumbs/0001.png"])
def test_other_unknown_files_are_still_refused(tmp_path: Path, name: str, files, write) -> None:
    with pytest.raises(ImageSourceError, match=r"not an image by its name|not a readable|unknown class folder Thumbs"):
        read_cifar10(write(tmp_path / "images", files | {name: b"x"}))


def test_what_systems_leave_beside_an_archive_is_ignored(tmp_path: Path, files, write) -> None:
    source = write(tmp_path / "images.zip", files)
    shutil.copy(source, tmp_path / "._images.zip")
    write(tmp_path / "@eaDir", files)
    write(tmp_path / "__MACOSX", files)
    assert find_source(tmp_path) == source


LABELS = np.arange(1000) % 10


def batches(labels: object, protocol: int, text: bool = True) -> dict[str, bytes]:
    """Six batches as tools pickle them again, with the same pixels."""
    rows = np.random.default_rng(0).integers(0, 256, (1000, 3072), dtype=np.uint8)
    made = {"batch_label": "batch", "data": rows, "labels": labels, "filenames": [b"a.png", "b.png"], "empty": b""}
    if not text:
        made = {name.encode(): value for name, value in made.items()}
    return dict.fromkeys(BATCH_NAMES, pickle.dumps(made, protocol))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("text", [True, False], ids=["text", "bytes"])
def test_batches_pickled_again(tmp_path: Path, protocol: int, text: bool, write) -> None:
    for labels in (LABELS.tolist(), LABELS, list(LABELS), LABELS.astype(np.uint8), tuple(LABELS.tolist())):
        split = read_batches(tmp_path, batches(labels, protocol, text), "test")
        expected = pickle.loads(batches(labels, protocol)["test_batch"])["data"].reshape(-1, 3, 32, 32)
        np.testing.assert_array_equal(split.images, expected.transpose(0, 2, 3, 1))
        np.testing.assert_array_equal(split.labels, LABELS)
    source = write(tmp_path / "batches", batches(LABELS, protocol, text))
    assert len(read_cifar10(find_source(source)).train.labels) == 5000


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_in_any_memory_order(tmp_path: Path, order: str) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (10, 3072), dtype=np.uint8)
    for given in (np.array(rows, order=order), np.repeat(rows, 2, axis=0)[::2]):
        batch = pickle.dumps({"data": given, "labels": list(range(10))}, 5)
        split = read_batches(tmp_path, {"test_batch": batch}, "test")
        np.testing.assert_array_equal(split.images, rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def test_a_key_twice_is_refused(tmp_path: Path) -> None:
    batch = pickle.dumps({"data": np.zeros((1, 3072), np.uint8), b"data": 1, "labels": [0]})
    with pytest.raises(ImageSourceError, match=r"test_batch in .* the same key as text and as bytes"):
        read_batches(tmp_path, {"test_batch": batch}, "test")


@pytest.mark.parametrize(
    ("function", "arguments"),
    [("eval", ("1",)), ("bytes", (10**15,)), ("getattr", ("a", "b"))],
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_no_other_code_is_run(tmp_path: Path, function: str, arguments: tuple, protocol: int) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return {"eval": eval, "bytes": bytes, "getattr": getattr}[function], arguments

    batch = pickle.dumps({"data": Evil(), "labels": [0]}, protocol)
    with pytest.raises(ImageSourceError, match=f"test_batch in .* is not a batch of CIFAR-10: .*{function}"):
        read_batches(tmp_path, {"test_batch": batch}, "test")


def test_only_latin1_is_encoded(tmp_path: Path) -> None:
    class Other:
        def __reduce__(self) -> tuple:
            import _codecs

            return _codecs.encode, ("a", "utf-16")

    file = io.BytesIO()
    pickle.Pickler(file, 2).dump({"data": Other(), "labels": [0]})
    with pytest.raises(ImageSourceError, match="it encodes text as utf-16, which no batch needs"):
        read_batches(tmp_path, {"test_batch": file.getvalue()}, "test")
