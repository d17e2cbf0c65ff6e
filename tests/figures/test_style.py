"""Figures and tables work in both themes."""

import base64
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from attn_tutorial.figures import style as looks


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    pages: list[dict[str, str]] = []
    monkeypatch.setattr(looks, "display", lambda data, raw: pages.append(data))
    return pages


def draw_line() -> Figure:
    figure, axes = plt.subplots()
    axes.plot([0, 1])
    axes.set_title("A title")
    return figure


def test_a_figure_comes_in_two_versions_of_which_plain_jupyter_shows_one(shown: list[dict[str, str]]) -> None:
    before = plt.rcParams["text.color"]
    looks.show(draw_line, 'A line "up"', "Goes up & on.")
    (page,) = shown
    light, dark = re.findall(r"<img [^>]*>", page["text/html"])
    assert 'class="figure-light' in light
    assert "display:none" not in light
    assert 'class="figure-dark' in dark
    assert "display:none" in dark
    assert all('alt="A line &quot;up&quot;"' in image for image in (light, dark))
    assert "<figcaption>Goes up &amp; on.</figcaption>" in page["text/html"]
    assert page["text/plain"] == '[figure: A line "up"]'
    light_svg, dark_svg = (
        base64.b64decode(re.search(r"base64,([^\"]+)", image)[1]).decode() for image in (light, dark)
    )
    assert looks.LIGHT_BACKGROUND in light_svg
    assert looks.DARK_BACKGROUND in dark_svg
    assert looks.DARK_BACKGROUND not in light_svg
    assert plt.get_fignums() == []
    assert plt.rcParams["text.color"] == before


def test_the_same_drawing_gives_the_same_bytes(shown: list[dict[str, str]]) -> None:
    looks.show(draw_line, "A line")
    looks.show(draw_line, "A line")
    assert shown[0] == shown[1]


def test_many_marks_become_pixels(shown: list[dict[str, str]]) -> None:
    def draw() -> Figure:
        figure, axes = plt.subplots()
        axes.scatter(*np.random.default_rng(0).random((2, 5000)))
        return figure

    looks.show(draw, "A cloud of points")
    assert shown[0]["text/html"].count("data:image/png;base64,") == 2
    assert f'width="{round(96 * looks.FULL)}"' in shown[0]["text/html"]


def test_a_picture_keeps_its_own_pixels(shown: list[dict[str, str]]) -> None:
    def draw() -> Figure:
        figure, axes = plt.subplots()
        axes.imshow(np.zeros((48, 40, 3), np.uint8))
        return figure

    looks.show(draw, "A black canvas")
    svg = base64.b64decode(re.search(r"svg\+xml;base64,([^\"]+)", shown[0]["text/html"])[1]).decode()
    assert re.search(r'<image [^>]*width="40(\.0)?"', svg)


def test_a_figure_needs_a_description_and_a_figure() -> None:
    with pytest.raises(ValueError, match="`alt` must say what the figure shows"):
        looks.show(draw_line, " ")
    with pytest.raises(TypeError, match="must return its matplotlib Figure"):
        looks.show(lambda: None, "Nothing")  # type: ignore[arg-type, return-value]


def test_a_table_has_a_caption_scopes_and_its_own_scroll_box(shown: list[dict[str, str]]) -> None:
    index = pd.Index(["baseline", "se<"], name="variant")
    looks.show_table(pd.DataFrame({"0": [79.5, 78.2], "5": [57.3, 56.2]}, index=index), "Accuracy & more")
    page = shown[0]["text/html"]
    assert "<figcaption>Accuracy &amp; more</figcaption>" in page
    assert 'role="region" aria-label="Accuracy &amp; more" tabindex="0" style="overflow-x:auto"' in page
    assert re.findall(r'<th scope="col">([^<]*)</th>', page) == ["variant", "0", "5"]
    assert re.findall(r'<th scope="row">([^<]*)</th>', page) == ["baseline", "se&lt;"]
    assert "<th>" not in page
    assert page.count("<tr") == 3


def test_texts_wrap_in_a_table_and_numbers_do_not(shown: list[dict[str, str]]) -> None:
    texts = ["whole rows and columns", "+0.310 [+0.285, +0.335]", "none", "x" * 41]
    looks.show_table(pd.DataFrame({"a": texts}), "Texts")
    page = shown[0]["text/html"]
    assert re.findall(r'<td class="text">([^<]*)</td>', page) == [texts[0], texts[3]]
    assert re.findall(r"<td>([^<]*)</td>", page) == texts[1:3]


def test_a_named_index_of_numbers_is_shown(shown: list[dict[str, str]]) -> None:
    looks.show_table(pd.DataFrame({"size": [8, 10]}, index=pd.RangeIndex(2, name="severity")), "Sizes")
    page = shown[0]["text/html"]
    assert re.findall(r'<th scope="col">([^<]*)</th>', page) == ["severity", "size"]
    assert re.findall(r'<th scope="row">([^<]*)</th>', page) == ["0", "1"]


def test_a_table_leaves_out_an_index_that_only_counts(shown: list[dict[str, str]]) -> None:
    looks.show_table(pd.DataFrame({"block": ["se"], "parameters": [512]}), "Sizes")
    assert 'scope="row"' not in shown[0]["text/html"]
    assert "512" in shown[0]["text/html"]
