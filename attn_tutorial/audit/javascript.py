"""Compare the canvases that the book's JavaScript renderer draws with the package's own. Imports torch."""

import json
import logging
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from attn_tutorial.audit.promises import PixelComparison
from attn_tutorial.clutter import BACKGROUND_TYPES, SEVERITIES, Clutter
from attn_tutorial.datasets import ImageSet

MODULE = Path(__file__).parents[2] / "book" / "_static" / "clutter.mjs"
"""Part of the repository, not of an installed package."""
_WAY = "in JavaScript"
_DRIVER = """
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";

const [module, folder] = process.argv.slice(1);
const { makeImages, render } = await import(module);
const given = JSON.parse(readFileSync(`${folder}/given.json`, "utf8"));
const sets = given.sets.map((set, i) =>
  makeImages({ ...set, pixels: new Uint8Array(readFileSync(`${folder}/${i}.pixels`)) }));
const files = ["canvases", "masks"].map((name) => openSync(`${folder}/${name}`, "w"));
for (const position of given.positions) {
  const drawn = render({ images: sets[0], pool: sets.at(-1), position, ...given.options });
  writeSync(files[0], drawn.canvas);
  writeSync(files[1], drawn.visible);
}
files.forEach(closeSync);
"""
_log = logging.getLogger(__name__)


def compare_javascript(images: ImageSet, count: int) -> PixelComparison:
    """Render canvases with all background types in JavaScript, and count the pixels that differ from the package's.

    They are not rendered if Node.js or `MODULE` is missing, or if the module cannot be run, which is logged.

    Args:
        images: images on the CPU, of which `count` are taken, spread evenly over the set.
        count: number of canvases, or all images if there are fewer.

    """
    chosen = images.spread(count)
    node = shutil.which("node")
    if node is None or not MODULE.exists():
        return PixelComparison(way=_WAY, canvases=len(chosen), pixels=None, mask_pixels=None)
    clutter = Clutter(BACKGROUND_TYPES, SEVERITIES)
    sets = [images, images.fragments] if images.fragments else [images]
    given = {
        "sets": [_described(each) for each in sets],
        "positions": chosen.tolist(),
        "options": {"types": clutter.types, "severity": clutter.severity, "canvas": clutter.canvas},
    }
    batch = clutter.render(images, chosen)
    with TemporaryDirectory() as folder:
        for i, each in enumerate(sets):
            np.ascontiguousarray(each.images.numpy()).tofile(f"{folder}/{i}.pixels")
        Path(folder, "given.json").write_text(json.dumps(given))
        command = [node, "--input-type=module", "--eval", _DRIVER, MODULE.as_uri(), folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            error = re.search(r"^\w*Error\b.*", done.stderr, re.MULTILINE)
            reason = error[0] if error else done.stderr.strip()
            _log.warning("%s could not be run by %s, so no canvas of it was compared: %s", MODULE, node, reason)
            return PixelComparison(way=_WAY, canvases=len(chosen), pixels=None, mask_pixels=None)
        canvases, masks = (np.fromfile(f"{folder}/{name}", np.uint8) for name in ("canvases", "masks"))
    ours = batch.canvas.permute(0, 2, 3, 1).numpy()
    theirs = canvases.reshape(*ours.shape[:3], 4)[..., :3]
    return PixelComparison(
        way=_WAY,
        canvases=len(chosen),
        pixels=int((ours != theirs).any(-1).sum()),
        mask_pixels=int((batch.visible_mask.numpy() != masks.reshape(batch.visible_mask.shape)).sum()),
    )


def _described(images: ImageSet) -> dict[str, Any]:
    """Return the arguments of the module's `makeImages`, without the pixels."""
    return {
        "labels": images.labels.tolist(),
        "index": images.index.tolist(),
        "classes": images.classes,
        "size": images.images.shape[1],
        "split": images.split,
        "mayLend": None if images.may_lend is None else images.may_lend.tolist(),
    }
