"""Grids of canvases show what the renderer gives."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from attn_tutorial.clutter import BACKGROUND_TYPES, OCCLUSION_TYPES, SEVERITIES, Clutter
from attn_tutorial.figures.canvases import severity_grid, type_grid

KINDS = (*BACKGROUND_TYPES, *OCCLUSION_TYPES)


def pictures(figure):
    grid = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    plt.close(figure)
    return np.stack(grid)


@pytest.mark.parametrize("feather", [0, 2])
def test_the_type_grid_shows_each_type_alone_on_the_same_images(train, feather):
    figure = type_grid(train, rows=2, seed=4, feather=feather)
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == list(KINDS)
    assert [axes.get_title() for axes in figure.axes[:6]] == [f"severity {severity}" for severity in SEVERITIES]
    assert all(len(axes.patches) == 1 for axes in figure.axes)
    expected = [
        Clutter((kind,), severity, seed=4, feather=feather).render(train, [i]).canvas[0].permute(1, 2, 0).numpy()
        for kind in KINDS
        for i in (0, 30)
        for severity in SEVERITIES
    ]
    np.testing.assert_array_equal(pictures(figure), np.stack(expected))


def test_the_severity_grid_composes_types(train):
    types = ("fragments", "strokes")
    shown = pictures(severity_grid(train, types, rows=3, feather=1, canvas=64))
    for column, severity in enumerate(SEVERITIES):
        expected = Clutter(types, severity, canvas=64, feather=1).render(train, torch.tensor([0, 20, 40])).canvas
        np.testing.assert_array_equal(shown[column::6], expected.permute(0, 2, 3, 1).numpy())


def test_the_severity_grid_shows_what_training_sees(train):
    shown = pictures(severity_grid(train, rows=1, seed=2))
    expected = [
        Clutter(("surround", "noise"), severity, seed=2).render(train, [0]).canvas[0] for severity in SEVERITIES
    ]
    np.testing.assert_array_equal(shown, torch.stack(expected).permute(0, 2, 3, 1).numpy())
