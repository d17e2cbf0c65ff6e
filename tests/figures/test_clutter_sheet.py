"""The sheet of clutter types shows what `Clutter` renders, and the enlarged corner a corner of the tile."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from attn_tutorial.clutter import CLUTTER_TYPES, SEVERITIES, Clutter
from attn_tutorial.figures import feather_sheet, type_sheet


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_each_row_is_a_type_and_each_column_a_severity(test_images):
    figure = type_sheet(test_images, position=7, seed=3)
    rows = (("fragments", "noise"), *((kind,) for kind in CLUTTER_TYPES))
    panels = np.reshape(figure.axes, (len(rows), len(SEVERITIES)))
    for types, row in zip(rows, panels, strict=True):
        assert row[0].get_title(loc="left") == " + ".join(types)
        for severity, axes in zip(SEVERITIES, row, strict=True):
            expected = Clutter(types, severity, seed=3).render(test_images, [7])
            assert np.array_equal(axes.images[0].get_array(), expected.canvas[0].permute(1, 2, 0).numpy())
            assert tuple(axes.patches[0].get_xy()) == tuple((expected.tile_box[0, :2] - 0.5).tolist())
    assert [axes.texts[0].get_text() for axes in panels[-1]] == list(map(str, SEVERITIES))


@pytest.mark.parametrize("position", range(6))
def test_a_corner_of_the_tile_is_in_the_middle_of_each_enlargement(position, test_images):
    figure = feather_sheet(test_images, 2, position=position)
    assert [axes.get_title() for axes in figure.axes] == ["feather 0", "feather 1", "feather 2"]
    for feather, axes in enumerate(figure.axes):
        batch = Clutter(severity=2, feather=feather).render(test_images, [position])
        assert np.array_equal(axes.images[0].get_array(), batch.canvas[0].permute(1, 2, 0).numpy())
        x, y, width, height = batch.tile_box[0].tolist()
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert (left + right + 1) / 2 in (x, x + width)
        assert (bottom + top + 1) / 2 in (y, y + height)
        assert left >= -0.5
        assert right <= 47.5
        assert top >= -0.5
        assert bottom <= 47.5
