"""The JavaScript renderer in the book draws the same canvases, byte for byte, and makes the same record."""

import json
import random
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from attn_tutorial.clutter import SEVERITIES, Clutter
from attn_tutorial.clutter.layers import crowd, mosaic, noise, surround
from attn_tutorial.clutter.names import BACKGROUND_TYPES
from attn_tutorial.clutter.noise_bank import noise_bank
from attn_tutorial.datasets import SPLITS, ImageSet, resize_images
from attn_tutorial.datasets.philox import philox

MODULE = Path(__file__).parents[2] / "book" / "_static" / "clutter.mjs"
NODE = shutil.which("node")
LAYERS = {"noise": noise, "mosaic": mosaic, "surround": surround, "crowd": crowd}
TILES = (16, 24, 32, 64)
SIZES = ((16, 24), (16, 48), (24, 48), (24, 33), (32, 48), (32, 96), (64, 96))  # of the tile and of the canvas
TYPES = ((), *((name,) for name in BACKGROUND_TYPES), ("surround", "noise"), BACKGROUND_TYPES)
CANVASES_PER_CASE = 6


def why_not() -> str:
    """Return why these tests cannot run here, or nothing."""
    if NODE is None:
        return "no Node.js: install it, for example by `apt-get install nodejs`"
    version = subprocess.run([NODE, "--version"], capture_output=True, text=True).stdout.strip()
    return "" if int(version[1:].split(".")[0]) >= 16 else f"Node.js must be of version 16 or newer, but is {version}"


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@dataclass(frozen=True)
class Case:
    """Canvases to render in both languages; the sets are named in `SETS`."""

    clutter: Clutter
    images: str
    split: str
    pool: str | None
    positions: list[int]
    epoch: int

    def as_job(self) -> dict:
        options = asdict(self.clutter)
        options["fragmentClasses"] = options.pop("fragment_classes")
        return {**asdict(self), "clutter": None, "options": {**options, "epoch": self.epoch}}


def random_images(tile: int, count: int, start: int, masks: bool) -> ImageSet:
    """Random pixels in three classes of unequal sizes, of which some images may not lend."""
    generator = torch.Generator().manual_seed(tile + start)
    labels = torch.tensor([0, 2, 1, 2, 2, 1, 0, 0, 2])[torch.arange(count) % 9]
    return ImageSet(
        images=torch.randint(0, 256, (count, tile, tile, 3), dtype=torch.uint8, generator=generator),
        labels=labels,
        classes=("a", "b", "c"),
        split="test",
        index=start + 7 * torch.randperm(count, generator=generator),
        name="random",
        source="random pixels",
        fingerprint="",
        masks=torch.rand((count, tile, tile), generator=generator) < 0.5 if masks else None,
        may_lend=torch.arange(count) % 4 > 0 if count > 9 else None,
    )


SETS = {f"targets{tile}": random_images(tile, 20, 50_000, masks=True) for tile in TILES}
SETS |= {f"few{tile}": random_images(tile, 9, 300, masks=False) for tile in TILES}
SETS |= {f"pool{tile}": random_images(tile, 30, 9_000, masks=False) for tile in TILES}


def make_cases() -> list[Case]:
    """Return all sets of types at all severities with every feather, and the rest at random."""
    draw = random.Random(0)
    cases = []
    for types, severity, feather in product(TYPES, (*SEVERITIES, (0, 1, 2), (5, 0, 3, 3, 1)), (0, 1, 2)):
        tile, canvas = SIZES[len(cases) % len(SIZES)]
        images = draw.choice((f"targets{tile}", f"few{tile}"))
        clutter = Clutter(
            types,
            severity,
            canvas,
            seed=draw.choice((0, 1, 7, 2**31, 2**32 - 1)),
            feather=feather,
            tile=draw.choice(("shown", "shown", "shown", "removed")),
            fragment_classes=draw.choice(("any", "any", "other")),
            background=draw.choice(("noise", "noise", "blank")),
        )
        cases.append(
            Case(
                clutter,
                images,
                split=draw.choice(SPLITS),
                pool=draw.choice((None, f"pool{tile}")),
                positions=draw.sample(range(len(SETS[images])), CANVASES_PER_CASE),
                epoch=draw.choice((0, 0, 1, 200, 2**32 - 1)),
            )
        )
    return cases


CASES = make_cases()
FILTERED = [(n, m) for n in TILES for m in (1, 5, n // 2, n - 3, n)]
WORDS = [((0, 0, 0, 0), (0, 0)), ((3, 1, 0, 16), (7, 2)), ((2**32 - 1,) * 4, (2**32 - 1, 2**31))]
WRONG: list[tuple[str, dict | list, str]] = [
    ("render", {"types": ["noise", "veil"]}, 'types must be any of noise, mosaic, surround, crowd.*, but got "veil".'),
    ("render", {"types": "noise"}, "types must be a list"),
    ("render", {"severity": 6}, "severity must be a whole number from 0 to 5, .*, but got 6."),
    ("render", {"severity": []}, "severity must be"),
    ("render", {"canvas": 15}, "canvas must be a whole number of pixels from 16 to 1024, but got 15."),
    ("render", {"canvas": 15.5}, "canvas must be"),
    ("render", {"position": 20}, "position must be a whole number from 0 to 19"),
    ("render", {"seed": -1}, "seed must be"),
    ("render", {"epoch": 0.5}, "epoch must be"),
    ("render", {"feather": 3}, "feather must be 0, 1 or 2, but got 3."),
    ("render", {"tile": "hidden"}, 'tile must be "shown" or "removed", but got "hidden".'),
    ("render", {"fragmentClasses": "own"}, "fragmentClasses must be"),
    ("render", {"background": "white"}, "background must be"),
    ("render", {"tileCorner": [0, 33]}, "tileCorner must be x and y, whole numbers from 0 to 32"),
    ("render", {"pool": {}}, "pool must be an image set that makeImages made"),
    ("makeImages", {"size": 18}, "size must be a multiple of 4, from 16 up, but got 18."),
    ("makeImages", {"split": "none"}, "split must be one of train, val, test, bank"),
    ("makeImages", {"labels": [0, 1]}, "index must be 2 values .*, but got 20 values."),
    ("makeImages", {"labels": [3] * 20}, "labels must be whole numbers from 0 to 2, but got 3."),
    ("makeImages", {"pixels": [0] * 100}, "pixels must be a Uint8Array, but got Array."),
    ("renderAlone", {"mayLend": [1] + [0] * 19}, "pool must be a set with at least 2 .*, but got 1 of the class"),
    ("boxFiltered", [[0] * 27, 3, 2], "n must be an even number"),
    ("boxFiltered", [[0] * 48, 4, 5], "m must be a whole number from 1 to n = 4, but got 5."),
    ("philox", [[0, 0, 0], [0, 0]], "counter must be four whole numbers"),
]


def described(images: ImageSet) -> dict:
    """Return all of a set but its pixels and masks, in the words of JavaScript."""
    return {
        "labels": images.labels.tolist(),
        "index": images.index.tolist(),
        "classes": images.classes,
        "size": images.images.shape[1],
        "mayLend": None if images.may_lend is None else images.may_lend.tolist(),
        "masks": None if images.masks is None else True,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What the module made of all jobs."""
    folder = tmp_path_factory.mktemp("javascript")
    for name, images in SETS.items():
        images.images.numpy().tofile(folder / f"{name}.pixels")
        if images.masks is not None:
            images.masks.numpy().tofile(folder / f"{name}.masks")
    jobs = {
        "sets": {name: described(images) for name, images in SETS.items()},
        "cases": [case.as_job() for case in CASES],
        "filtered": [{"set": f"targets{n}", "n": n, "m": m} for n, m in FILTERED],
        "words": WORDS,
        "wrong": WRONG,
        "timed": "pool24",
    }
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [str(NODE), str(Path(__file__).with_name("run_clutter.mjs")), str(MODULE), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def test_canvases_and_records(folder: Path, results: dict) -> None:
    canvases, masks = (np.fromfile(folder / name, np.uint8) for name in ("canvases", "masks"))
    records = iter(results["records"])
    for case in CASES:
        images, pool = replace(SETS[case.images], split=case.split), SETS.get(case.pool)
        batch = case.clutter.render(images, case.positions, case.epoch, pool)
        side = case.clutter.canvas
        for i in range(len(case.positions)):
            canvas, canvases = canvases[: side * side * 4].reshape(side, side, 4), canvases[side * side * 4 :]
            np.testing.assert_array_equal(canvas[..., :3], batch.canvas[i].permute(1, 2, 0), str(case))
            assert (canvas[..., 3] == 255).all()
            for expected in filter(torch.is_tensor, (batch.visible_mask, batch.object_mask)):
                mask, masks = masks[: side * side].reshape(side, side), masks[side * side :]
                np.testing.assert_array_equal(mask, expected[i], str(case))
            ids, classes = (each[i].tolist() for each in (batch.fragment_id, batch.fragment_class))
            drawn = zip(batch.fragment_layer, ids, classes, strict=True)
            assert next(records) == {
                "tileBox": batch.tile_box[i].tolist(),
                "severity": int(batch.severity[i]),
                "fragments": [{"layer": layer, "index": k, "class": c} for layer, k, c in drawn if k >= 0],
            }, case
    assert len(canvases) == len(masks) == len(list(records)) == 0
    print(f"\n{len(results['records'])} canvases; {results['milliseconds']:.2f} ms for one of all types at severity 5")


def test_severity_table(results: dict) -> None:
    levels = {name: LAYERS[name].LEVELS for name in results["levels"]}
    lines = [f"  {name}: {json.dumps(rows)}," for name, rows in levels.items()]
    message = "\n".join(["LEVELS in book/_static/clutter.mjs must be", "export const LEVELS = {", *lines, "};"])
    assert sorted(levels) == sorted(BACKGROUND_TYPES)
    assert results["levels"] == json.loads(json.dumps(levels)), message


def test_noise_bank(folder: Path) -> None:
    np.testing.assert_array_equal(np.fromfile(folder / "bank", np.int8), noise_bank().flatten())


def test_random_words(results: dict) -> None:
    assert results["words"] == [philox(*numbers).tolist() for numbers in WORDS]


def test_box_filter(folder: Path) -> None:
    expected = [resize_images(SETS[f"targets{n}"].images[:1].numpy(), m).flatten() for n, m in FILTERED]
    np.testing.assert_array_equal(np.fromfile(folder / "filtered", np.uint8), np.concatenate(expected))


def test_dragged_tile(results: dict) -> None:
    places = {"sameAtDrawnPlace": True, "sameOutside": True, "tileInside": True}
    assert results["dragged"] == {**places, "tileBox": [1, 2, 24, 24]}


@pytest.mark.parametrize("which", range(len(WRONG)), ids=lambda which: WRONG[which][2].split()[0])
def test_errors_say_what_must_hold(results: dict, which: int) -> None:
    assert re.search(f"^RangeError: {WRONG[which][2]}", results["messages"][which]), WRONG[which]


def test_it_is_fast_enough_to_drag(results: dict) -> None:
    assert results["milliseconds"] < 5
