"""Every colour is legible in both themes, and a variant looks the same in every figure."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from attn_tutorial.figures import colours
from attn_tutorial.figures.colours import markers, palette
from attn_tutorial.study import Study, study_names


def contrast(first: str, second: str) -> float:
    """Contrast ratio of WCAG 2, between 1 and 21."""

    def luminance(colour: str) -> float:
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
        return float(np.dot(parts, (0.2126, 0.7152, 0.0722)))

    low, high = sorted([luminance(first), luminance(second)])
    return (high + 0.05) / (low + 0.05)


def far_apart(first: str, second: str, least: float = 0.2) -> bool:
    return np.abs(np.subtract(to_rgb(first), to_rgb(second))).max() > least


def test_every_colour_stands_out_in_both_themes() -> None:
    every = {
        *palette(variant for name in study_names() for variant in Study.load(name).variants).values(),
        *palette(f"a block of mine {number}" for number in range(9)).values(),
        *(shade for _, *shades in colours.BLOCK_STYLES.values() for shade in shades),
        *colours.ROLE_COLOURS.values(),
        *(colour for colour, _ in colours.SERIES_STYLES),
    }
    for colour in every:
        assert contrast(colour, colours.LIGHT_BACKGROUND) >= 3
        assert contrast(colour, colours.DARK_BACKGROUND) >= 3


def test_the_colours_of_the_main_blocks_stay_as_published() -> None:
    assert palette(["baseline", "se", "cbam", "non_local", "spatial", "channel", "static_gate"]) == {
        "baseline": "#808080",
        "se": "#0173b2",
        "cbam": "#d55e00",
        "non_local": "#029e73",
        "spatial": "#936135",
        "channel": "#8219f6",
        "static_gate": "#f53bfe",
    }


@pytest.mark.parametrize("name", study_names())
def test_a_variant_looks_the_same_whatever_else_is_drawn(name: str) -> None:
    variants = list(Study.load(name).variants)
    for variant in variants:
        assert palette([variant])[variant] == palette(variants)[variant] == palette(reversed(variants))[variant]
        assert markers([variant])[variant] == markers(variants)[variant] == markers(reversed(variants))[variant]


@pytest.mark.parametrize("name", study_names())
def test_variants_of_a_study_differ_in_their_markers_or_clearly_in_colour(name: str) -> None:
    variants = list(Study.load(name).variants)
    shown, marks = palette(variants), markers(variants)
    for first, second in itertools.combinations(variants, 2):
        assert marks[first] != marks[second] or far_apart(shown[first], shown[second], 0.1), f"{first} and {second}"


def test_every_variant_of_the_studies_is_known_by_name() -> None:
    # Else its marker is a checksum's, which another variant of the study may have.
    known = {*colours.BLOCK_STYLES, *(option for group in colours._OPTIONS for option in group)}
    for variant in (variant for name in study_names() for variant in Study.load(name).variants):
        assert variant in known or any(variant.endswith(option) for option in known), variant


def test_a_block_keeps_its_hue_and_an_option_its_marker() -> None:
    assert markers(["se, identity"])["se, identity"] == markers(["cbam identity"])["cbam identity"]
    for variant in ("se, identity", "se reduction 4", "se half 3×"):
        red, green, blue = to_rgb(palette([variant])[variant])
        assert red < green < blue  # as in SE's own colour
    assert palette(["se+spatial"]) != palette(["se"])


def test_the_blocks_differ_in_colour_or_marker() -> None:
    for (mark, colour, *_), (other_mark, other, *_) in itertools.combinations(colours.BLOCK_STYLES.values(), 2):
        assert mark != other_mark or far_apart(colour, other)
    for (colour, mark), (other, other_mark) in itertools.combinations(colours.SERIES_STYLES, 2):
        assert mark != other_mark
        assert far_apart(colour, other)


def test_variants_of_a_reader_have_colours_too() -> None:
    names = ["mine", "se, mine", "yours"]
    assert palette(names) == {name: palette([name])[name] for name in names}
    assert palette(["se, mine"])["se, mine"] in colours.BLOCK_STYLES["se"]
