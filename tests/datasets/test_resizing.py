"""Images of 24 and 16 px: the box filter's exact pixels, and what is cached, replaced and refused."""

import ast
import errno
import hashlib
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from attn_tutorial.datasets import resizing, store
from attn_tutorial.datasets.images import load_images
from attn_tutorial.datasets.names import RESIZE_VERSION
from attn_tutorial.datasets.resizing import box_weights, resize_images
from attn_tutorial.datasets.sources import shapes
from attn_tutorial.datasets.sources.layout import ImageSourceError
from attn_tutorial.datasets.store import prepare, prepare_size
from attn_tutorial.errors import InputError

TRAIN, TEST = 20, 10  # images of a class
PAIRS = [(32, 24), (32, 16), (32, 20), (32, 32), (30, 24), (17, 16), (7, 5), (5, 2), (9, 3), (40, 1)]


@pytest.fixture
def few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "TRAIN_PER_CLASS", TRAIN)
    monkeypatch.setattr(shapes, "TEST_PER_CLASS", TEST)


def random_images(side: int, count: int = 3, channels: tuple[int, ...] = (3,)) -> np.ndarray:
    rng = np.random.default_rng(side)
    images = rng.integers(0, 256, (count, side, side, *channels), dtype=np.uint8)
    images[0] = 255 * (images[0] > 127)  # the largest sums, and many halves
    return images


def exact_means(image: np.ndarray, size: int) -> list[list[Fraction]]:
    """The mean of the area that each output pixel covers, in rational numbers: an independent definition."""
    side = Fraction(len(image), size)
    covered = []
    for output in range(size):
        start, end = output * side, (output + 1) * side
        shares = {pixel: min(end, Fraction(pixel + 1)) - max(start, Fraction(pixel)) for pixel in range(len(image))}
        covered.append([(pixel, share / side) for pixel, share in shares.items() if share > 0])
    return [
        [
            sum((int(image[y, x]) * of_y * of_x for y, of_y in rows for x, of_x in columns), Fraction(0))
            for columns in covered
        ]
        for rows in covered
    ]


def half_up(mean: Fraction) -> int:
    return (mean + Fraction(1, 2)).__floor__()


def test_weights_by_hand() -> None:
    block = [[3, 1, 0, 0], [0, 2, 2, 0], [0, 0, 1, 3]]
    np.testing.assert_array_equal(box_weights(32, 24), np.kron(np.eye(8, dtype=np.int64), block))
    np.testing.assert_array_equal(box_weights(32, 16), np.kron(np.eye(16, dtype=np.int64), [[1, 1]]))
    assert box_weights(5, 2).tolist() == [[2, 2, 1, 0, 0], [0, 0, 1, 2, 2]]
    assert box_weights(2, 3).tolist() == [[2, 0], [1, 1], [0, 2]]
    assert box_weights(32, 24).dtype == np.int64


@pytest.mark.parametrize(("n", "m"), PAIRS)
def test_weights_cover_everything_evenly(n: int, m: int) -> None:
    weights = box_weights(n, m)
    assert weights.shape == (m, n)
    assert (weights >= 0).all()
    assert set(weights.sum(1).tolist()) == {n // np.gcd(n, m)}
    assert set(weights.sum(0).tolist()) == {m // np.gcd(n, m)}
    assert np.gcd.reduce(weights, axis=None) == 1


def test_one_row_by_hand() -> None:
    row = np.zeros(32, dtype=np.uint8)
    row[:8] = 0, 2, 255, 255, 10, 20, 30, 41
    image = np.broadcast_to(row, (32, 32))
    expected = np.zeros(24, dtype=np.uint8)
    # 2/4, 514/4, 1020/4; 50/4, 100/4, 153/4: the halves go up
    expected[:6] = 1, 129, 255, 13, 25, 38
    for turned, wanted in ((image, np.tile(expected, (24, 1))), (image.T, np.tile(expected[:, None], 24))):
        np.testing.assert_array_equal(resize_images(turned[None], 24)[0], wanted)
    assert resize_images(image[None], 16)[0, 0, :4].tolist() == [1, 255, 15, 36]  # 35.5 goes up too


def test_rounded_only_once() -> None:
    """If rows or columns were rounded first, 6/16 would become 1."""
    image = np.zeros((1, 32, 32), dtype=np.uint8)
    image[0, 0, 1] = 2  # 2·1·3/16; along the row alone it is 2·1/4, which rounds to 1
    assert resize_images(image, 24)[0, 0, 0] == 0
    assert resize_images(image.swapaxes(1, 2), 24)[0, 0, 0] == 0
    image[0, 1, 1] = 2  # (2·1·3 + 2·1·1)/16 = 8/16
    assert resize_images(image, 24)[0, 0, 0] == 1


@pytest.mark.parametrize(("n", "m"), PAIRS)
def test_equal_to_exact_rational_means(n: int, m: int) -> None:
    images = random_images(n)
    resized = resize_images(images, m)
    assert (resized.shape, resized.dtype) == ((3, m, m, 3), np.uint8)
    for number, channel in ((0, 0), (1, 1), (2, 2)):
        plane = images[number, ..., channel]
        assert resized[number, ..., channel].tolist() == [
            [half_up(mean) for mean in row] for row in exact_means(plane, m)
        ]


@pytest.mark.parametrize("size", [24, 16])
def test_masks_are_set_where_half_of_the_area_is(size: int) -> None:
    masks = np.random.default_rng(0).random((4, 32, 32)) < 0.5
    masks[1] = False
    masks[2] = True
    resized = resize_images(masks, size)
    assert (resized.shape, resized.dtype) == ((4, size, size), np.bool_)
    means = [exact_means(mask, size) for mask in masks]
    assert resized.tolist() == [[[share >= Fraction(1, 2) for share in row] for row in mask] for mask in means]
    assert Fraction(1, 2) in np.unique(means[0])  # so that the test sees which way a half goes


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    images = random_images(32, 11)
    whole = resize_images(images, 24)
    monkeypatch.setattr(resizing, "_CHUNK", 4)
    np.testing.assert_array_equal(resize_images(images, 24), whole)
    np.testing.assert_array_equal(resize_images(images[5:6], 24), whole[5:6])
    assert resize_images(images[:0], 24).shape == (0, 24, 24, 3)


def test_same_pixels_from_any_memory_order() -> None:
    images = random_images(32)
    whole = resize_images(images, 24)
    padded = np.pad(images, ((0, 0), (0, 0), (0, 0), (0, 1)))
    np.testing.assert_array_equal(resize_images(padded, 24), np.pad(whole, ((0, 0), (0, 0), (0, 0), (0, 1))))
    np.testing.assert_array_equal(resize_images(np.asfortranarray(images), 24), whole)
    np.testing.assert_array_equal(resize_images(padded[::-1, ..., :3], 24), whole[::-1])
    np.testing.assert_array_equal(resize_images(images, 32), images)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 32, 32, 3)), r"must be uint8 or bool .* but got float64 of shape \(2, 32, 32, 3\)"),
        (np.zeros((2, 3, 32, 32), np.uint8), r"but got uint8 of shape \(2, 3, 32, 32\)\. Crop"),
        (np.zeros((32, 32), np.uint8), r"but got uint8 of shape \(32, 32\)"),
        (np.zeros((2, 16, 16, 3), np.uint8), "`size` must be from 1 to the side of the images, 16 pixels, but got 24"),
    ],
)
def test_bad_images(images: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resize_images(images, 24)


def test_integers_only() -> None:
    """No float constant, division or floating-point type."""
    tree = list(ast.walk(ast.parse(inspect.getsource(resizing))))
    assert not [node for node in tree if isinstance(node, ast.Constant) and isinstance(node.value, float)]
    assert not [node for node in tree if isinstance(node, ast.Div)]
    names = {node.attr for node in tree if isinstance(node, ast.Attribute)}
    assert not names & {"float32", "float64", "mean", "average", "round"}


@pytest.mark.parametrize(
    ("size", "pixels"),
    [
        (24, "9f735388e4aff04cbb258f02f6235edb4b5a0c894961cf2900f5024df386b406"),
        (16, "6a4abcf5d5b5fcbca07f65ff56e74a3335e4d8a881a517cd12f5c2b79d4df004"),
    ],
)
def test_pixels_are_pinned(size: int, pixels: str) -> None:
    digest = hashlib.sha256()
    for split in ("train", "test"):
        images, _, masks = shapes.draw_shapes(split, 40)
        digest.update(resize_images(images, size).tobytes() + resize_images(masks, size).tobytes())
    assert digest.hexdigest() == pixels, "other pixels: raise RESIZE_VERSION with the hash"


@pytest.mark.parametrize(
    ("size", "fingerprint"),
    [
        (24, "aeecd98f786d6bff9afe702a060e37354e8f3d0edc7d883915c0ef2cbdef0565"),
        (16, "caa42c60e12255681bc079ee79df9926c48695f0a3af62c65b1a49d1652d9f24"),
    ],
)
def test_fingerprint_is_of_resized_pixels_and_labels(
    tmp_path: Path, few_shapes: None, size: int, fingerprint: str
) -> None:
    resized = prepare_size("shapes", tmp_path, size=size)
    assert resized.fingerprint == fingerprint
    digest = hashlib.sha256()
    for split, count in (("train", TRAIN), ("test", TEST)):
        images, labels, _ = shapes.draw_shapes(split, count)
        digest.update(f"{split}_images ({10 * count}, {size}, {size}, 3)".encode())
        digest.update(resize_images(images, size).tobytes())
        digest.update(f"{split}_labels ({10 * count},)".encode() + labels.astype("<i8").tobytes())
    assert resized.fingerprint == digest.hexdigest() != prepare("shapes", tmp_path).fingerprint


@pytest.mark.soak
def test_fingerprints_of_all_shapes(tmp_path: Path) -> None:
    sizes = {size: prepare_size("shapes", tmp_path, size=size).fingerprint for size in (24, 16)}
    assert sizes == {
        24: "57b4a8abfc10256c7a97daa7744890da32b51d2a53bfcd834f2577376cf14184",
        16: "2e218e85b96e26a367f2da117ec98807feeee3271be31b49ba283c80cf40e8c0",
    }


def test_prepared_size(tmp_path: Path, few_shapes: None) -> None:
    native = prepare("shapes", tmp_path)
    before = {file: file.read_bytes() for file in native.folder.iterdir()}
    resized = prepare_size("shapes", tmp_path, size=24)
    assert resized.folder == native.folder / f"24px-v{RESIZE_VERSION}"
    assert resized.source == f"{native.source}, resized to 24 px"
    same = ("name", "classes", "archive_sha256", "first_split", "near_duplicates")
    assert [getattr(resized, field) for field in same] == [getattr(native, field) for field in same]
    for file in before:
        if file.suffix == ".npy" and not file.stem.endswith(("_images", "_masks")):
            assert (resized.folder / file.name).read_bytes() == file.read_bytes()
    images = np.load(resized.folder / "train_images.npy", mmap_mode="r")
    assert (images.shape, images.dtype) == ((10 * TRAIN, 24, 24, 4), np.uint8)
    assert (images[..., 3] == 0).all()
    assert prepare_size("shapes", tmp_path, size=32) == prepare_size("shapes", tmp_path) == native
    assert prepare("shapes", tmp_path) == native
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize("size", [24, 16])
@pytest.mark.parametrize("split", ["train", "val", "test", "bank"])
def test_load_images(tmp_path: Path, few_shapes: None, split: str, size: int) -> None:
    native = load_images("shapes", split, tmp_path)
    resized = load_images("shapes", split, tmp_path, size=size)
    count = len(native)
    assert (resized.images.shape, resized.images.dtype) == ((count, size, size, 3), torch.uint8)
    assert resized.images.stride() == (size * size * 4, size * 4, 4, 1)  # clutter moves four bytes at once
    np.testing.assert_array_equal(resized.images.numpy(), resize_images(native.images.numpy(), size))
    assert native.masks is not None
    assert resized.masks is not None
    np.testing.assert_array_equal(resized.masks.numpy(), resize_images(native.masks.numpy(), size))
    for field in ("labels", "index", "may_lend"):
        assert torch.equal(getattr(resized, field), getattr(native, field))
    assert (resized.name, resized.split, resized.classes) == ("shapes", split, native.classes)
    prepared = prepare_size("shapes", tmp_path, size=size)
    assert (resized.fingerprint, resized.source) == (prepared.fingerprint, prepared.source)
    assert resized.fingerprint != native.fingerprint
    if split == "test":
        bank = load_images("shapes", "bank", tmp_path, size=size)
        assert resized.fragments is not None
        assert torch.equal(resized.fragments.images, bank.images)
        assert (resized.fragments.split, resized.fragments.fingerprint) == ("bank", resized.fingerprint)
    else:
        assert resized.fragments is None


def test_native_size_is_not_resized(tmp_path: Path, few_shapes: None) -> None:
    native = load_images("shapes", "train", tmp_path)
    asked = load_images("shapes", "train", tmp_path, size=32)
    assert torch.equal(asked.images, native.images)
    assert (asked.fingerprint, asked.source) == (native.fingerprint, native.source)
    assert not list(prepare("shapes", tmp_path).folder.glob("*px*"))


@pytest.mark.parametrize("size", [20, 0, -24, 48, "24", None])
def test_bad_size(tmp_path: Path, few_shapes: None, size: int) -> None:
    message = rf"^`size` must be one of 16, 24, 32 \(pixels\), but got {size!r}\. Use one of these, or .*as_image_set"
    with pytest.raises(InputError, match=message):
        load_images("shapes", "train", tmp_path, size=size)
    with pytest.raises(InputError, match=message):
        prepare_size("shapes", tmp_path, size=size)
    assert not list(tmp_path.iterdir())  # noticed before anything is decoded


def forbid(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def called(*_: object) -> None:
        raise AssertionError(f"{name} was called")

    monkeypatch.setattr(store, name, called)


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(file.relative_to(folder)): (file.stat().st_mtime_ns, file.stat().st_ino) for file in folder.rglob("*")}


def test_second_call_resizes_nothing(tmp_path: Path, few_shapes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare_size("shapes", tmp_path, size=24)
    prepare_size("shapes", tmp_path, size=16)
    first.folder.parent.with_suffix(".lock").unlink(missing_ok=True)
    before = files_of(tmp_path)
    # no lock and no writing either, so a read-only disk is enough
    for name in ("resize_images", "FileLock", "_fingerprint"):
        forbid(monkeypatch, name)
    assert prepare_size("shapes", tmp_path, size=24) == first
    load_images("shapes", "test", tmp_path, size=16)
    assert files_of(tmp_path) == before


def test_another_version_is_not_read(tmp_path: Path, few_shapes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare_size("shapes", tmp_path, size=24)
    monkeypatch.setattr(store, "RESIZE_VERSION", RESIZE_VERSION + 1)
    second = prepare_size("shapes", tmp_path, size=24)
    assert second.folder != first.folder
    assert first.folder.exists()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated images": lambda folder: os.truncate(folder / "train_images.npy", 1000),
    "missing masks": lambda folder: (folder / "test_masks.npy").unlink(),
    "truncated manifest": lambda folder: os.truncate(folder / "manifest.json", 40),
    "missing manifest": lambda folder: (folder / "manifest.json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_cache_is_made_again(tmp_path: Path, few_shapes: None, damage: str) -> None:
    first = prepare_size("shapes", tmp_path, size=24)
    native = files_of(first.folder.parent)
    whole = {file.name: file.read_bytes() for file in first.folder.iterdir()}
    DAMAGES[damage](first.folder)
    assert prepare_size("shapes", tmp_path, size=24) == first
    assert {file.name: file.read_bytes() for file in first.folder.iterdir()} == whole
    after = files_of(first.folder.parent)
    assert all(after[file] == native[file] for file in native if "24px" not in file)  # 32 px were left alone


def test_damaged_native_images_are_drawn_again_first(tmp_path: Path, few_shapes: None) -> None:
    first = prepare_size("shapes", tmp_path, size=24)
    os.truncate(first.folder.parent / "train_images.npy", 1000)
    assert prepare_size("shapes", tmp_path, size=24) == first


RESIZE = (
    "import sys\n"
    "from attn_tutorial.datasets import store\n"
    f"store.shapes.TRAIN_PER_CLASS, store.shapes.TEST_PER_CLASS = {TRAIN}, {TEST}\n"
    "prepared = store.prepare_size('shapes', sys.argv[1], size=24)\n"
    "assert 'torch' not in sys.modules\n"
    "print(prepared)"
)


def test_two_processes_at_once(tmp_path: Path, few_shapes: None) -> None:
    native = prepare("shapes", tmp_path)
    # Each one that resizes does it slowly and says so: the second waits, and finds the first one's work.
    slow = (
        "import time\nfrom attn_tutorial.datasets import store\nfast = store._build_size\n"
        "store._build_size = lambda *a: (time.sleep(1), print('resized'), fast(*a))[-1]\n"
    )
    command = [sys.executable, "-c", slow + RESIZE, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = sorted(process.communicate(timeout=60)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    prepared = prepare_size("shapes", tmp_path, size=24)
    assert outputs == sorted([f"{prepared}\n", f"resized\n{prepared}\n"])
    assert not list(native.folder.glob("*.partial"))


def test_one_lock_for_all_sizes(tmp_path: Path, few_shapes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no process replaces the images of 32 px while another one resizes them."""
    locked = []
    lock = store.FileLock
    monkeypatch.setattr(store, "FileLock", lambda file: locked.append(file) or lock(file))
    resized = prepare_size("shapes", tmp_path, size=24)
    assert locked == [resized.folder.parent.with_suffix(".lock")] * 2


@pytest.mark.parametrize("until", ["train_images.npy", "train_may_lend.npy", "manifest.json"])
def test_killed_halfway(tmp_path: Path, few_shapes: None, until: str) -> None:
    native = prepare("shapes", tmp_path)
    # Stopped for good as soon as this file is on disk, before the folder gets its name.
    stop = (
        "import sys, time\n"
        "def stop(event, arguments):\n"
        "    if event == 'os.rename' and str(arguments[0]).endswith('.partial'): time.sleep(60)\n"
        f"    if event == 'open' and last and str(arguments[0]) != last[0]: time.sleep(60)\n"
        f"    if event == 'open' and str(arguments[0]).endswith('.partial/{until}'): last.append(str(arguments[0]))\n"
        "last = []\n"
        "sys.addaudithook(stop)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", stop + RESIZE, str(tmp_path)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(native.folder.glob(f"*.partial/{until}")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    [partial] = native.folder.glob("*.partial")
    assert not (native.folder / f"24px-v{RESIZE_VERSION}").exists()
    assert prepare("shapes", tmp_path) == native
    prepared = prepare_size("shapes", tmp_path, size=24)
    assert not partial.exists()
    manifest = json.loads((prepared.folder / "manifest.json").read_text())
    assert manifest["bytes"] == {
        file.name: file.stat().st_size for file in prepared.folder.iterdir() if file.name != "manifest.json"
    }
    assert prepared.fingerprint == prepare_size("shapes", tmp_path / "fresh", size=24).fingerprint


def test_full_disk(tmp_path: Path, few_shapes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    native = prepare("shapes", tmp_path)
    before = files_of(native.folder)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(ImageSourceError, match=r"cannot be written to .*No space left.* 140 MB .*free some space"):
            load_images("shapes", "train", tmp_path, size=24)
    assert files_of(native.folder) == before
    assert load_images("shapes", "train", tmp_path, size=24).images.shape[1] == 24


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only folders")
def test_read_only_folder(tmp_path: Path, few_shapes: None) -> None:
    native = prepare("shapes", tmp_path)
    resized = prepare_size("shapes", tmp_path, size=16)
    for folder in (native.folder, native.folder.parent):
        folder.chmod(0o555)
    try:
        assert prepare_size("shapes", tmp_path, size=16) == resized
        with pytest.raises(ImageSourceError, match=r"cannot be written to .*Permission denied"):
            prepare_size("shapes", tmp_path, size=24)
    finally:
        for folder in (native.folder, native.folder.parent):
            folder.chmod(0o755)


def test_torch_is_not_imported() -> None:
    code = "import sys, attn_tutorial.datasets.resizing; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.cifar
@pytest.mark.parametrize(("size", "fingerprint"), [(24, "1306a2418124"), (16, "2990d044ec9d")])
def test_real_cifar10_has_stable_fingerprints(real_root: Path, size: int, fingerprint: str) -> None:
    prepared = prepare("cifar10", real_root)
    if prepared.archive_sha256 != "45b041e867f5a40f79bfde38d3dd1fd511103d50068c1afecf6445e25234d4db":
        pytest.skip(f"the fingerprint of {prepared.source} is not pinned")
    # JPEG decoders may differ by version, so this pins the libjpeg that Pillow brings as well
    assert prepare_size("cifar10", real_root, size=size).fingerprint.startswith(fingerprint)


@pytest.mark.cifar
def test_real_cifar10(real_root: Path) -> None:
    sizes = {
        split: len(load_images("cifar10", split, real_root, size=24)) for split in ("train", "val", "test", "bank")
    }
    assert sizes == {"train": 45_000, "val": 5_000, "test": 8_000, "bank": 2_000}
    native, resized = (load_images("cifar10", "test", real_root, size=size) for size in (32, 24))
    # The mean stays, except that halves go up: of 9 pixels, 4 are in 16ths, 4 in 8ths and 1 in quarters.
    halves = (4 / 16 + 4 / 8 + 1 / 4) / 9
    difference = float(resized.images.double().mean() - native.images.double().mean())
    assert difference == pytest.approx(halves / 2, abs=0.005)
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        load_images("cifar10", "train", real_root, size=24)
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 0.3, seconds
