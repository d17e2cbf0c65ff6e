"""Links in folders and archives lead to the images, or are refused by name; none is skipped."""

import os
from pathlib import Path

import pytest

from attn_tutorial.datasets.sources.cifar10 import ImageSourceError, read_cifar10
from attn_tutorial.datasets.sources.finding import find_source, source_key
from attn_tutorial.datasets.store import prepare

KINDS = ["folder", "tgz", "tar", "zip"]


def moved(files: dict[str, bytes], old: str, new: str) -> dict[str, bytes]:
    """The same files, where the paths that begin with `old` begin with `new` instead."""
    return {new + name.removeprefix(old) if name.startswith(old) else name: data for name, data in files.items()}


def place(tmp_path: Path, kind: str) -> Path:
    return tmp_path / ("images" if kind == "folder" else f"images.{kind}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("old", "new", "links"),
    [
        ("train/cat/0003.png", "pool/a.png", {"train/cat/0003.png": "../../pool/a.png"}),
        ("train/cat/", "pool/cats/", {"train/cat": "../pool/cats"}),
        ("train/", "pool/v2/", {"train": "./pool/v2"}),
        ("test/", ".cache/test/", {"test": ".cache/test"}),
        ("train/cat/", "pool/cats/", {"train/cat": "../pool/newest", "pool/newest": "cats"}),
        ("train/cat/0003.png", "b", {"train/cat": "../p", "p/0003.png": "../a", "a": "./b"}),
    ],
    ids=["file", "class", "split", "hidden", "chain", "nested"],
)
def test_links_that_stay_inside_are_followed(
    tmp_path: Path, kind: str, old: str, new: str, links: dict, files, write, check_images
) -> None:
    files = moved(files, old, new)
    if "p/0003.png" in links:
        files = moved(files, "train/cat/", "p/")
    source = write(place(tmp_path, kind), files, links)
    check_images(read_cifar10(find_source(source)))


@pytest.mark.parametrize("kind", ["folder", "tgz", "tar"])
@pytest.mark.parametrize("pooled", [False, True])
def test_hard_links_count_as_the_file(tmp_path: Path, kind: str, pooled: bool, files, write, check_images) -> None:
    links = {}
    for name in [name for name in files if name.startswith("train/dog/")]:
        target = name.replace("train/dog/", "pool/" if pooled else "test/dog/x")
        files[target] = files.pop(name)
        links[name] = target
    source = write(place(tmp_path, kind), files, links, hard=True)
    if pooled:
        check_images(read_cifar10(source))
    else:
        assert len(read_cifar10(source).test.labels) == 110
        assert len(read_cifar10(source).train.labels) == 100


def test_a_hard_link_in_an_archive_with_absolute_names(tmp_path: Path, files, write, check_images) -> None:
    files = {f"/srv/{name}": data for name, data in files.items()}
    files = moved({name.replace("/srv/", "/"): data for name, data in files.items()}, "/train/cat/0003.png", "/pool/x")
    source = write(tmp_path / "images.tar", files, {"/train/cat/0003.png": "/pool/x"}, hard=True)
    check_images(read_cifar10(source))


def test_a_root_that_is_a_link(tmp_path: Path, files, write, check_images) -> None:
    write(tmp_path / "elsewhere" / "images", moved(files, "train/cat/", "pool/"), {"train/cat": "../pool"})
    (tmp_path / "given").symlink_to("elsewhere/images")
    check_images(read_cifar10(find_source(tmp_path / "given")))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cifar").symlink_to(tmp_path / "elsewhere" / "images")
    check_images(read_cifar10(find_source(tmp_path / "data")))


@pytest.mark.parametrize("kind", ["tgz", "zip"])
def test_a_link_in_place_of_the_folder_around_the_splits(tmp_path: Path, kind: str, files, write, check_images) -> None:
    files = {f"data/v2/{name}": data for name, data in files.items()}
    check_images(read_cifar10(write(place(tmp_path, kind), files, {"current": "data/v2"})))


BROKEN = [
    ("train/cat/new.png", "missing.png", r"points to missing\.png, which does not exist"),
    ("train/cat/new.png", "../../../outside.png", "points to .*, which lies outside"),
    ("train/cat/new.png", "/etc/hostname", "points to /etc/hostname, which lies outside"),
    ("train/cat/new.png", "new.png", "points to new.png, .* a loop"),
    ("train/cat/up", "../..", "points to the top, a folder that it lies in itself, so it is a loop"),
    ("train/cat/up", "..", "points to train, a folder that it lies in itself, so it is a loop"),
    ("test/cow", "../../cows", "points to .*, which "),
    ("data_batch_1", "missing", "points to missing, which does not exist"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "target", "message"), BROKEN)
def test_links_that_lead_nowhere_are_named(
    tmp_path: Path, kind: str, name: str, target: str, message: str, files, write
) -> None:
    (tmp_path / "cows").mkdir()
    (tmp_path / "outside.png").write_bytes(files["train/cat/0000.png"])
    source = write(place(tmp_path, kind), files, {name: target})
    with pytest.raises(ImageSourceError, match=f"The link {name} must lead to a file or folder inside .*{message}"):
        read_cifar10(find_source(source))


def test_a_class_that_lies_outside_is_not_called_missing(tmp_path: Path, files, write) -> None:
    write(tmp_path / "images", moved(files, "train/cat/", "../cats/"), {"train/cat": "../../cats"})
    with pytest.raises(ImageSourceError, match=r"The link train/cat .* points to \.\./\.\./cats, which lies outside"):
        prepare("cifar10", tmp_path, tmp_path / "images")


@pytest.mark.parametrize("links", [{"train/cat": "gone"}, {"train": "gone"}, {"train": "gone", "test": "gone"}])
def test_a_broken_folder_is_not_called_missing(tmp_path: Path, links: dict, files, write) -> None:
    kept = {name: data for name, data in files.items() if not name.startswith(tuple(f"{link}/" for link in links))}
    write(tmp_path / "images", kept | {"README": b""}, links)
    with pytest.raises(ImageSourceError, match=r"The link (train|test).* points to gone, which does not exist"):
        prepare("cifar10", tmp_path, tmp_path / "images")


@pytest.mark.parametrize("kind", KINDS)
def test_links_beside_the_images_do_not_matter(tmp_path: Path, kind: str, files, write, check_images) -> None:
    links = {"latest": ".", "README": "missing", "other": "/etc", "train/cat/.hidden": "missing", "copy": "train"}
    check_images(read_cifar10(find_source(write(place(tmp_path, kind), files, links))))


def test_a_folder_on_disk_that_may_not_be_read_is_not_empty(tmp_path: Path, files, write, monkeypatch) -> None:
    source = write(tmp_path / "images", files | {"private/x": b""})
    listdir = os.listdir

    def listed(path):
        if Path(path).name in ("private", *refused):
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", listed)
    refused: tuple[str, ...] = ()
    read_cifar10(source)
    refused = ("cat",)
    with pytest.raises(ImageSourceError, match=r"cannot be read .*Permission denied: .*cat.*Check its permissions"):
        prepare("cifar10", tmp_path, source)


def test_a_pipe_among_the_images_is_named(tmp_path: Path, files, write) -> None:
    source = write(tmp_path / "images", files)
    os.mkfifo(source / "train" / "cat" / "new.png")
    with pytest.raises(ImageSourceError, match=r"train/cat/new\.png in .* must be a file or a folder, but is a device"):
        read_cifar10(source)


def test_the_key_of_a_source_follows_links(tmp_path: Path, files, write) -> None:
    source = write(tmp_path / "images", moved(files, "train/cat/", "pool/"), {"train/cat": "../pool"})
    key = source_key(source)
    assert source_key(source) == key
    (source / "pool" / "new.png").write_bytes(b"")
    assert source_key(source) != key
