import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from attn_tutorial.clutter import Clutter
from attn_tutorial.figures import attention_on_canvas, attention_table, describe_attention


@pytest.fixture
def batch(train):
    return Clutter(severity=3).render(train, [0, 30])


def test_each_map_covers_its_canvas_with_the_tile_outlined(batch):
    maps = {"fine": torch.rand(2, 24, 24), "coarse": torch.rand(2, 3, 6) + 7}
    figure = attention_on_canvas(batch, maps)
    grid = np.array(figure.axes).reshape(2, 3)
    for row in range(2):
        np.testing.assert_array_equal(grid[row, 0].images[0].get_array(), batch.canvas[row].permute(1, 2, 0))
        for axes, weights in zip(grid[row, 1:], maps.values(), strict=True):
            canvas, shown = axes.images
            np.testing.assert_array_equal(shown.get_array(), weights[row])
            assert shown.get_extent() == pytest.approx(canvas.get_extent())
            assert shown.get_clim() == pytest.approx([end.item() for end in weights.aminmax()])
        for axes in grid[row]:
            box = axes.patches[0].get_bbox()
            assert [box.x0 + 0.5, box.y0 + 0.5, box.width, box.height] == batch.tile_box[row].tolist()
            assert axes.patches[0].get_zorder() > max(image.get_zorder() for image in axes.images)
    plt.close(figure)


def test_titles_name_the_map_and_its_range(batch):
    figure = attention_on_canvas(batch, {"gate": torch.linspace(0.25, 0.75, 2 * 4 * 4).reshape(2, 4, 4)})
    assert [axes.get_title() for axes in figure.axes] == ["canvas\n", "gate\n0.25 to 0.75", "", ""]
    plt.close(figure)


def test_the_description_tells_the_tile_from_the_rest(batch):
    on = describe_attention(batch, {"gate": batch.visible_mask.float() * 3 + 1})
    assert "gate: from 1 to 4, on average 4 on the visible tile, 1 off it" in on
    assert on.startswith("2 canvases")


def test_the_table_counts_every_place_by_its_pixels(batch):
    left = torch.tensor([[1.0, 3.0]]).expand(2, 1, 2)
    row = attention_table(batch, {"halves": left}).loc["halves"]
    pixels = torch.cat((torch.full((2, 48, 24), 1.0), torch.full((2, 48, 24), 3.0)), 2)
    assert row[["lowest", "highest"]].tolist() == [1, 3]
    assert row["on the tile"] == pytest.approx(pixels[batch.visible_mask].mean().item())
    assert row["off it"] == pytest.approx(pixels[~batch.visible_mask].mean().item())


def test_another_tile_tells_looking_from_preferring_the_middle(train):
    batch = Clutter(severity=3).render(train, [0, 20, 40])
    looking = batch.visible_mask.float()
    middle = batch.visible_mask.float().mean(0).expand(3, -1, -1)
    table = attention_table(batch, {"looking": looking, "middle": middle})
    overlap = (batch.visible_mask & batch.visible_mask.roll(-1, 0)).sum() / batch.visible_mask.sum()
    assert table.loc["looking", "on another's"] == pytest.approx(overlap.item())
    assert overlap < 1
    on, another = table.loc["middle", ["on the tile", "on another's"]]
    assert on == pytest.approx(another)
    assert on > table.loc["middle", "off it"]


def test_a_map_of_another_batch_is_refused(batch):
    for function in (attention_on_canvas, describe_attention):
        with pytest.raises(ValueError, match=r"Map 'gate' must have shape \(2, h, w\), but got \(2, 1, 4, 4\)"):
            function(batch, {"gate": torch.rand(2, 1, 4, 4)})
    assert plt.get_fignums() == []
