"""Exported canvases: what is in the files, and that there is a whole folder or none."""

import csv
import errno
import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from attn_tutorial.clutter import BACKGROUND_TYPES, CLUTTER_TYPES, Clutter, export_canvases
from attn_tutorial.clutter.layers import crowd, fragments, noise, surround
from attn_tutorial.clutter.severity import LEAST_VISIBLE

CLUTTER = Clutter(CLUTTER_TYPES, severity=(0, 2, 5), seed=3)


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_npz_holds_what_the_renderer_gives(tmp_path, train):
    folder = export_canvases(train, CLUTTER, tmp_path / "deep" / "out")
    assert folder == tmp_path / "deep" / "out"
    assert listing(tmp_path) == ["deep/out/CARD.md", "deep/out/canvases.npz"]
    expected = vars(CLUTTER.render(train, torch.arange(60))).copy()
    with np.load(folder / "canvases.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {*expected, "index", "classes", "visible_pixels"}
        assert tuple(arrays["fragment_layer"]) == expected.pop("fragment_layer")
        assert set(arrays["fragment_layer"]) == {"fragments", "surround", "crowd"}
        for name, tensor in expected.items():
            assert arrays[name].dtype == tensor.numpy().dtype, name
            np.testing.assert_array_equal(arrays[name], tensor.numpy(), err_msg=name)
        np.testing.assert_array_equal(arrays["visible_pixels"], arrays["visible_mask"].sum((1, 2)))
        assert arrays["index"].tolist() == train.index.tolist()
        assert tuple(arrays["classes"]) == train.classes


def test_png_holds_what_the_renderer_gives(tmp_path, test_images, train):
    for name, images in (("a", replace(test_images, index=test_images.index + 7)), ("b", train)):
        folder = export_canvases(images, CLUTTER, tmp_path / name, format="png")
        batch = CLUTTER.render(images, torch.arange(len(images)))
        with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        pictures = {f"{place}/{row['file']}" for row in rows for place in ("images", "masks")}
        if images.masks is not None:
            pictures |= {f"object_masks/{row['file']}" for row in rows}
        assert set(listing(folder)) == pictures | {"labels.csv", "CARD.md"}
        assert [int(row["index"]) for row in rows] == images.index.tolist()
        for i, row in enumerate(rows):
            assert row["file"] == f"{int(row['index']):05}.png"
            pixels = np.asarray(Image.open(folder / "images" / row["file"]))
            np.testing.assert_array_equal(pixels, batch.canvas[i].permute(1, 2, 0).numpy())
            mask = np.asarray(Image.open(folder / "masks" / row["file"]))
            np.testing.assert_array_equal(mask, batch.visible_mask[i].numpy() * np.uint8(255))
            if batch.object_mask is not None:
                mask = np.asarray(Image.open(folder / "object_masks" / row["file"]))
                np.testing.assert_array_equal(mask, batch.object_mask[i].numpy() * np.uint8(255))
            assert (int(row["label"]), row["class"]) == (batch.label[i], images.classes[batch.label[i]])
            assert int(row["severity"]) == batch.severity[i]
            assert [int(row[f"tile_{part}"]) for part in ("x", "y", "width", "height")] == batch.tile_box[i].tolist()
            assert int(row["visible_pixels"]) == batch.visible_mask[i].sum()
            drawn = batch.fragment_id[i] >= 0
            assert [int(n) for n in row["fragment_ids"].split()] == batch.fragment_id[i][drawn].tolist()
            assert [int(n) for n in row["fragment_classes"].split()] == batch.fragment_class[i][drawn].tolist()
            layers = zip(batch.fragment_layer, drawn.tolist(), strict=True)
            assert row["fragment_layers"].split() == [layer for layer, there in layers if there]


@pytest.mark.parametrize("form", ["npz", "png"])
def test_canvases_without_fragments_have_an_empty_record(tmp_path, train, form):
    folder = export_canvases(train, Clutter(("noise",)), tmp_path / "out", format=form)
    if form == "npz":
        with np.load(folder / "canvases.npz", allow_pickle=False) as arrays:
            assert arrays["fragment_id"].shape == arrays["fragment_class"].shape == (60, 0)
            assert arrays["fragment_layer"].shape == (0,)
    else:
        with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                assert row["fragment_ids"] == row["fragment_classes"] == row["fragment_layers"] == ""


@pytest.mark.parametrize("form", ["npz", "png"])
def test_no_byte_depends_on_the_batch_or_on_the_run(tmp_path, train, monkeypatch, form):
    one = export_canvases(train, CLUTTER, tmp_path / "one", format=form)
    monkeypatch.setattr("attn_tutorial.clutter.export._BATCH_PIXELS", 7 * 48**2)
    two = export_canvases(train, CLUTTER, tmp_path / "two", format=form)
    assert listing(one) == listing(two)
    for file in listing(one):
        assert (one / file).read_bytes() == (two / file).read_bytes(), file


def test_the_card_says_what_was_made(tmp_path, test_images):
    images = replace(test_images, name="cifar10", source="CIFAR-10, some copy")
    clutter = Clutter(("fragments", "noise"), severity=4, seed=11)
    card = (export_canvases(images, clutter, tmp_path / "out") / "CARD.md").read_text(encoding="utf-8")
    assert "clutter benchmark: canvas 1, fragments 1, noise 1.\n" in card
    assert eval(card.split("```python\n")[1].split("\n```")[0], {"Clutter": Clutter}) == clutter
    for text in (images.source, images.fingerprint, "the 40 images of the split `bank`", "| seed | 11 |"):
        assert text in card
    for name in images.classes:
        assert f"| {name} | 5 |" in card
    visible = clutter.render(images, torch.arange(50)).visible_mask.sum((1, 2)).double() / 10.24
    assert f"{visible.mean():.1f} % on average, and {visible.min():.1f} % at the least" in card
    number, size, cap = fragments.LEVELS[4]
    assert f"| fragments | 4 | {number} squares of {size} px, over at most {cap} % of the tile |" in card
    assert f"| noise | 4 | standard deviation {noise.LEVELS[4] / 1000:.3f}" in card
    assert "| mosaic | 0 | none |" in card
    assert "32×32 pixels (the tile,\n44 % of the picture's area)" in card
    assert "names no explicit licence" in card
    for heading in ("Licence", "Intended use", "Limits"):
        assert f"\n## {heading}\n" in card


@pytest.mark.parametrize("form", ["npz", "png"])
def test_the_card_describes_the_background_types_and_the_size_of_the_target(tmp_path, make_images, form):
    images = make_images(60)
    images = replace(images, images=images.images[:, :24, :24].contiguous())
    clutter = Clutter(("surround", "crowd", "strokes"), severity=(0, 5))
    card = card_of(images, clutter, tmp_path / "out", format=form)
    assert "canvas 1, crowd 1, noise 1, strokes 1, surround 1.\n" in card
    assert "Each shows one image of 24×24 pixels (the tile,\n25 % of the picture's area)" in card
    for name, layer, axis in (("surround", surround, "background"), ("crowd", crowd, "background")):
        assert f"| {name} | {axis} | {layer.LAYER.description} |" in card
        size = layer.sizes(24)[5]
        what = {"surround": "squares", "crowd": "whole images"}[name]
        assert f"| {name} | 5 | {layer.LEVELS[5][0]} {what} of {size} px |" in card
        assert f"| {name} | 0 | none |" in card
    assert "| strokes | occlusion | straight lines over everything |" in card
    assert "beside a tile of 24 px" in card
    assert "| strokes | 5 | 12 lines, 2 px wide |" in card
    assert "(`fragments`, `surround`)" in card
    assert "`fragment_layer`" in card or form == "png"
    # Which canvases show a second image of the label's class, according to the record.
    batch = clutter.render(images, torch.arange(60))
    whole = [name == "crowd" for name in batch.fragment_layer]
    beside = (batch.fragment_class[:, whole] == batch.label[:, None]).any(1).sum()
    assert 0 < beside < 60
    assert f"- {beside} of the canvases also show a smaller whole image of the tile's class" in card
    assert "smaller whole image of the tile" not in card_of(images, Clutter(("surround",)), tmp_path / "none")


def test_the_card_claims_no_licence_for_the_images_of_others(tmp_path, train):
    card = (export_canvases(replace(train, name="mine"), CLUTTER, tmp_path / "out") / "CARD.md").read_text()
    assert "The images remain their owners'" in card
    assert "CIFAR" not in card
    assert "| the images in the clutter come from | the same images |" in card


def card_of(images, clutter, out, **how):
    return (export_canvases(images, clutter, out, **how) / "CARD.md").read_text(encoding="utf-8")


def test_fragments_come_from_the_bank_that_is_given_and_the_card_names_it(tmp_path, train, test_images):
    clutter = Clutter(severity=4)
    bank = replace(test_images.fragments, name="mine", source="my bank", fingerprint="abc")
    card = card_of(train, clutter, tmp_path / "out", fragments=bank)
    expected = clutter.render(train, torch.arange(60), fragments=bank)
    with np.load(tmp_path / "out" / "canvases.npz") as arrays:
        np.testing.assert_array_equal(arrays["canvas"], expected.canvas.numpy())
    assert "the 40 images of the split `bank` of mine (my bank), whose whole set has the fingerprint `abc` |" in card


def test_the_card_promises_a_visible_share_only_where_it_holds(tmp_path, train):
    occlusion = f"At least {LEAST_VISIBLE} % of the tile stays visible"
    background = "Every pixel of the tile is visible"
    for types, promise, other in (
        (("fragments", "noise"), occlusion, background),
        (CLUTTER_TYPES, occlusion, background),
        (("surround", "noise"), background, occlusion),
        (BACKGROUND_TYPES, background, occlusion),
    ):
        out = tmp_path / "+".join(types)
        card = card_of(train, Clutter(types), out)
        assert promise in card
        assert other not in card
        for name, options in (("feather", {"feather": 2}), ("removed", {"tile": "removed"})):
            card = card_of(train, Clutter(types, **options), out.with_name(out.name + name))
            assert promise not in card
            assert other not in card


def test_the_card_states_the_controls_that_were_used(tmp_path, train):
    texts = {
        Clutter(tile="removed"): "the tile is left out",
        Clutter(fragment_classes="other"): "all classes except the label's",
        Clutter(severity=0, background="blank"): "plain grey",
    }
    for i, (clutter, said) in enumerate(texts.items()):
        card = card_of(train, clutter, tmp_path / str(i))
        assert [text for text in texts.values() if text in card] == [said]
        assert card.count("A control, not the benchmark") == 1
    assert "A control" not in card_of(train, Clutter(), tmp_path / "none")
    # Noise has no classes.
    assert "A control" not in card_of(train, Clutter(("noise",), fragment_classes="other"), tmp_path / "noise")


@pytest.mark.parametrize(
    ("types", "severity", "background", "said"),
    [
        (("noise",), 0, "noise", "{sd}"),
        (("noise",), 0, "blank", "none"),
        (("noise",), (0, 3), "blank", "none"),
        (("strokes",), 0, "blank", "none"),
        (("strokes",), 3, "blank", "{sd}"),
        (("strokes",), (0, 3), "blank", "{sd}; none where the severity is 0"),
    ],
)
def test_the_card_gives_the_background_that_is_drawn(tmp_path, train, types, severity, background, said):
    card = card_of(train, Clutter(types, severity, background=background), tmp_path / "out")
    sd = f"standard deviation {noise.LEVELS[0] / 1000:.3f} of the pixel range"
    assert f"| noise | 0 | {said.format(sd=sd)} |" in card


def test_names_of_classes_do_not_break_the_cards_tables(tmp_path, train):
    card = card_of(replace(train, classes=("a|b", "c\nd", *train.classes[2:])), Clutter(), tmp_path / "out")
    assert "\n| a\\|b | " in card
    assert "\n| c d | " in card


@pytest.mark.parametrize("name", ["out.partial", "out.replaced"])
def test_a_folder_that_no_export_has_made_stays(tmp_path, train, name):
    out = export_canvases(train, CLUTTER, tmp_path / "out")
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("mine")
    before = listing(tmp_path)
    with pytest.raises(ValueError, match=f"{name}.*(M|m)ove"):
        export_canvases(train, CLUTTER, out, force=True)
    assert listing(tmp_path) == before


def test_what_a_kill_between_two_names_leaves_is_removed(tmp_path, train):
    out = export_canvases(train, CLUTTER, tmp_path / "out")
    out.rename(tmp_path / "out.replaced")
    export_canvases(train, CLUTTER, out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(("canvas", "largest"), [(48, 60), (768, 1), (400, 3)])
def test_a_batch_is_as_large_whatever_the_canvas(tmp_path, train, monkeypatch, canvas, largest):
    sizes = []

    def stop(self, images, rows, **how):
        sizes.append(len(rows))
        raise MemoryError

    monkeypatch.setattr(Clutter, "render", stop)
    with pytest.raises(ValueError, match="Memory does not suffice"):
        export_canvases(train, Clutter(canvas=canvas), tmp_path / "out")
    assert sizes == [largest]


def test_memory_that_does_not_suffice_is_said_and_other_errors_are_not_hidden(tmp_path, train, monkeypatch):
    monkeypatch.setattr(Clutter, "render", lambda self, images, rows, **how: torch.empty(2**60))
    with pytest.raises(ValueError, match=r"60 canvases of 64 px in format npz: lower the canvas, export fewer images"):
        export_canvases(train, Clutter(canvas=64), tmp_path / "out")
    monkeypatch.setattr(Clutter, "render", lambda self, images, rows, **how: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="size"):
        export_canvases(train, CLUTTER, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_replaced_only_by_force_and_only_if_it_is_an_export(tmp_path, train):
    out = tmp_path / "out"
    export_canvases(train, CLUTTER, out)
    before = (out / "canvases.npz").read_bytes()
    with pytest.raises(ValueError, match=r"out exists already\. .* \(--force\)"):
        export_canvases(train, Clutter(seed=4), out)
    assert (out / "canvases.npz").read_bytes() == before
    export_canvases(train, Clutter(seed=4), out, format="png", force=True)
    assert "canvases.npz" not in listing(out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]

    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "CARD.md").write_text("# My own notes")
    (tmp_path / "file").write_text("")
    for name in ("home", "file"):
        with pytest.raises(ValueError, match="of an export, so it is not replaced"):
            export_canvases(train, CLUTTER, tmp_path / name, force=True)
    assert listing(tmp_path / "home") == ["CARD.md"]


def test_a_failure_leaves_the_earlier_export_and_nothing_else(tmp_path, train, monkeypatch):
    out = export_canvases(train, CLUTTER, tmp_path / "out")
    before = {file: (out / file).read_bytes() for file in listing(out)}

    def no_room(*words, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("attn_tutorial.clutter.export.data_card", no_room)
    with pytest.raises(
        ValueError, match=r"cannot be written to .*out \(No space left on device\). They need up to 1 MB"
    ):
        export_canvases(train, Clutter(seed=4), out, force=True)
    assert {file: (out / file).read_bytes() for file in listing(out)} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_shown_on_a_terminal_only(tmp_path, train, monkeypatch):
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        export_canvases(train, CLUTTER, tmp_path / f"out{shown}")
        assert ("60/60" in stream.getvalue()) == shown


def test_bad_arguments(tmp_path, train):
    with pytest.raises(ValueError, match=r"format must be one of npz, png, but got 'nzp'\. Did you mean 'npz'"):
        export_canvases(train, CLUTTER, tmp_path / "out", format="nzp")
    with pytest.raises(ValueError, match="at least as large as the images"):
        export_canvases(train, Clutter(canvas=24), tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot be written to .*file/out .*choose a folder that can be written"):
        export_canvases(train, CLUTTER, tmp_path / "file" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


EXPORT = """
import signal, sys
import numpy as np
from attn_tutorial.clutter import Clutter, export_canvases
from attn_tutorial.datasets import as_image_set
from attn_tutorial.errors import InputError
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a start in the background ignores
folder, form, wait_for = sys.argv[1:]
pixels = np.random.default_rng(0).integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
if wait_for:
    import time
    import attn_tutorial.clutter.export as export
    render = Clutter.render
    Clutter.render = lambda self, images, rows, **how: time.sleep(60) if rows[0] else render(self, images, rows, **how)
    if wait_for == "card":
        Clutter.render, export.data_card = render, lambda *words: time.sleep(60)
try:
    export_canvases(as_image_set(pixels), Clutter(), folder + "/out", form)
except InputError as error:
    sys.exit(str(error))
"""


def start(folder, form, wait_for="", **how):
    return subprocess.Popen(
        [sys.executable, "-c", EXPORT, str(folder), form, wait_for], stderr=subprocess.PIPE, text=True, **how
    )


@pytest.mark.parametrize("form", ["npz", "png"])
def test_files_that_cannot_grow_leave_nothing(tmp_path, form):
    """The limit on a file's size that a process may be given stops a write in its middle, as a full disk does."""
    limit = {"npz": 100_000, "png": 2000}[form]
    process = start(tmp_path, form, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "File too large" in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def own_mounts():
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a small disk of their own: full and read-only disks are not tested")


@pytest.mark.parametrize(
    ("disk", "form", "message"),
    [
        ('mount -t tmpfs -o size=400k none "$1"', "npz", "No space left on device"),
        ('mount -t tmpfs -o size=400k none "$1"', "png", "No space left on device"),
        ('mount -t tmpfs none "$1" && mount -o remount,ro "$1"', "npz", "Read-only file system"),
    ],
    ids=["full-npz", "full-png", "read-only"],
)
def test_a_full_or_read_only_disk_is_left_empty(tmp_path, own_mounts, disk, form, message):
    # The mount is seen by this process alone, and ends with it.
    script = f'{disk} && "$2" -c "$3" "$1" "$4" ""; status=$?; ls -A "$1"; exit $status'
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", str(tmp_path), sys.executable, EXPORT, form],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only folders")
def test_a_read_only_folder(tmp_path, train):
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(ValueError, match="Permission denied"):
        export_canvases(train, CLUTTER, tmp_path / "locked" / "out")


@pytest.mark.parametrize(
    ("form", "wait_for", "stop"),
    [("png", "batch", signal.SIGKILL), ("npz", "card", signal.SIGKILL), ("png", "card", signal.SIGINT)],
    ids=["kill-png", "kill-npz", "ctrl-c"],
)
def test_stopped_in_the_middle(tmp_path, train, form, wait_for, stop):
    process = start(tmp_path, form, wait_for)
    begun = tmp_path / "out.partial" / {"png": "images/00255.png", "npz": "canvases.npz"}[form]
    deadline = time.monotonic() + 60
    while not begun.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.5)  # until it waits
    with pytest.raises(ValueError, match="is being written by another export"):
        export_canvases(train, CLUTTER, tmp_path / "out")
    assert begun.exists()
    assert not (tmp_path / "out").exists()

    process.send_signal(stop)
    process.communicate(timeout=60)
    assert [path.name for path in tmp_path.iterdir()] == (["out.partial"] if stop == signal.SIGKILL else [])
    export_canvases(train, CLUTTER, tmp_path / "out", "npz")
    assert listing(tmp_path) == ["out/CARD.md", "out/canvases.npz"]
