"""The batched renderer against a per-image one written with Pillow: the same pixels and masks."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from attn_tutorial.clutter import CLUTTER_TYPES, SEVERITIES, Clutter
from attn_tutorial.clutter.names import BACKGROUND_TYPES, SEEN_TYPES

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PilClutter = runpy.run_path(str(BENCHMARKS / "clutter_pil.py"))["PilClutter"]
COMPOSITIONS = [SEEN_TYPES, ("fragments", "noise"), BACKGROUND_TYPES, CLUTTER_TYPES]


def assert_same_canvases(clutter, images, epoch=0):
    batch = clutter.render(images, torch.arange(len(images)), epoch)
    oracle = PilClutter(images, clutter, epoch)
    for i in range(len(images)):
        pixels, visible, silhouette = oracle[i]
        np.testing.assert_array_equal(batch.canvas[i].permute(1, 2, 0), pixels)
        np.testing.assert_array_equal(batch.visible_mask[i], visible)
        if silhouette is None:
            assert batch.object_mask is None
        else:
            np.testing.assert_array_equal(batch.object_mask[i], silhouette)


@pytest.mark.parametrize("types", COMPOSITIONS, ids="+".join)
@pytest.mark.parametrize("severity", [*SEVERITIES, (0, 1, 2, 3)], ids=str)
def test_images_that_lend_to_each_other(train, types, severity):
    assert_same_canvases(Clutter(types, severity, seed=11), train, epoch=3)


@pytest.mark.parametrize("name", CLUTTER_TYPES)
@pytest.mark.parametrize("severity", [1, 5])
def test_images_with_a_bank(test_images, name, severity):
    assert_same_canvases(Clutter((name,), severity), test_images)


@pytest.mark.parametrize("severity", [5, (1, 2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize(
    ("tile", "canvas"), [(24, 48), (16, 48), (32, 64), (16, 24), (64, 96), (48, 72), (24, 33), (32, 32), (32, 100)]
)
def test_other_sizes(make_images, tile, canvas, severity):
    generator = torch.Generator().manual_seed(tile)
    images, pool = (
        replace(
            make_images(20, split, start),
            images=torch.randint(0, 256, (20, tile, tile, 3), dtype=torch.uint8, generator=generator),
        )
        for split, start in (("test", 0), ("bank", 20))
    )
    assert_same_canvases(Clutter(CLUTTER_TYPES, severity, canvas), replace(images, fragments=pool))


def test_images_that_may_not_lend(train):
    may_lend = torch.arange(len(train)) % 20 < 10
    assert_same_canvases(Clutter(CLUTTER_TYPES, 4), replace(train, may_lend=may_lend))


def test_the_benchmark_counts_pixels_that_differ(train, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    differing = runpy.run_path(str(BENCHMARKS / "clutter.py"))["differing"]
    assert differing(train, 20) == (0, 0)
    monkeypatch.setattr("attn_tutorial.clutter.layers.crowd.sizes", lambda extent: [0, 12, 15, 17, 19, 19])
    canvases, pixels = differing(train, 20)
    assert 0 < canvases < 20
    assert canvases < pixels < 20 * 48 * 48
