"""The sheets show what `Clutter` renders, at one scale, and the enlarged corner is a corner of the tile."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from attn_tutorial.clutter import SEVERITIES, Clutter
from attn_tutorial.datasets import resize_images
from attn_tutorial.figures import feather_sheet, geometry_sheet, type_sheet


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture
def in_size(test_images):
    def resized(images, size):
        return replace(images, images=torch.from_numpy(resize_images(images.images.numpy(), size)))

    def load(size):
        return replace(resized(test_images, size), fragments=resized(test_images.fragments, size))

    return load


def shows(axes, batch):
    """Return whether axes show the only canvas of a batch, with its tile outlined."""
    picture = np.array_equal(axes.images[0].get_array(), batch.canvas[0].permute(1, 2, 0).numpy())
    outline = axes.patches[0]
    box = [*(np.array(outline.get_xy()) + 0.5), outline.get_width(), outline.get_height()]
    return picture and box == batch.tile_box[0].tolist()


@pytest.mark.parametrize(("size", "canvas"), [(32, 48), (16, 40)])
def test_each_row_is_a_composition_and_each_column_a_severity(size, canvas, in_size):
    images = in_size(size)
    rows = {"above": ("surround", "noise"), "in the middle": ("crowd",), "below": ("fragments",)}
    figure = type_sheet(images, rows, position=7, seed=3, canvas=canvas)
    panels = np.reshape(figure.axes, (len(rows), len(SEVERITIES)))
    assert [part._suptitle.get_text() for part in figure.subfigs] == list(rows)
    for types, row in zip(rows.values(), panels, strict=True):
        for severity, axes in zip(SEVERITIES, row, strict=True):
            assert shows(axes, Clutter(types, severity, canvas, seed=3).render(images, [7]))
    assert [axes.texts[0].get_text() for axes in panels[-1]] == list(map(str, SEVERITIES))


def test_canvases_of_a_sheet_are_equally_large(test_images):
    figure = type_sheet(test_images, {name: (name,) for name in ("surround", "crowd", "veil")})
    figure.draw_without_rendering()
    widths = [axes.get_window_extent().width for axes in figure.axes]
    assert max(widths) < 1.1 * min(widths)


def test_geometries_stand_beside_each_other_at_one_scale(in_size):
    geometries = [(in_size(32), 48), (in_size(24), 48), (in_size(32), 64), (in_size(16), 48)]
    figure = geometry_sheet(geometries, (0, 4), ("crowd",), position=5, seed=2)
    panels = np.reshape(figure.axes, (2, 4))
    titles = [axes.get_title() for axes in panels[0]]
    assert titles == ["32 on 48 px\n44 %", "24 on 48 px\n25 %", "32 on 64 px\n25 %", "16 on 48 px\n11 %"]
    for severity, row in zip((0, 4), panels, strict=True):
        for (images, canvas), axes in zip(geometries, row, strict=True):
            assert shows(axes, Clutter(("crowd",), severity, canvas, seed=2).render(images, [5]))
    figure.draw_without_rendering()
    scales = [axes.get_window_extent().width / axes.images[0].get_array().shape[1] for axes in panels.flat]
    assert max(scales) < 1.05 * min(scales)


@pytest.mark.parametrize("position", range(6))
@pytest.mark.parametrize(("size", "canvas"), [(32, 48), (24, 48), (16, 40)])
def test_a_corner_of_the_tile_is_in_the_middle_of_each_enlargement(position, size, canvas, in_size):
    images = in_size(size)
    figure = feather_sheet(images, 2, position=position, canvas=canvas)
    assert [axes.get_title() for axes in figure.axes] == ["feather 0", "feather 1", "feather 2"]
    for feather, axes in enumerate(figure.axes):
        batch = Clutter(severity=2, canvas=canvas, feather=feather).render(images, [position])
        assert shows(axes, batch)
        x, y, width, height = batch.tile_box[0].tolist()
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert (left + right + 1) / 2 in (x, x + width)
        assert (bottom + top + 1) / 2 in (y, y + height)
        assert left >= -0.5
        assert right <= canvas - 0.5
        assert top >= -0.5
        assert bottom <= canvas - 0.5
