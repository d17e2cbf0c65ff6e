import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from attn_tutorial.errors import InputError
from attn_tutorial.figures import (
    by_donors,
    composition_of,
    describe_lesion_figure,
    describe_looking_figure,
    harm_overview,
    harm_table,
    lesion_figure,
    looking_figure,
    looking_table,
)
from attn_tutorial.figures.colours import markers

KIND = {"preset": "quick", "fingerprint": "f", "clutter_version": 1, "backbone": "b", "types": "fragments+noise"}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def make_lesions(harms):
    """`harms[variant][lesion][seed]` in points at severity 0; twice that at 5."""
    return pd.DataFrame(
        [
            {**KIND, "variant": variant, "seed": seed, "run_id": f"{variant}{seed}", "lesion": lesion,
             "severity": severity, "harm": harm * (1 + severity / 5), "low": harm - 0.25, "high": harm + 0.25}
            for variant, of_variant in harms.items()
            for lesion, of_seeds in of_variant.items()
            for seed, harm in enumerate(of_seeds)
            for severity in (0, 5)
        ]
    )  # fmt: skip


def make_maps(enrichments):
    """`enrichments[variant][map][seed]`: beyond that elsewhere, mean over two slots that differ."""
    return pd.DataFrame(
        [
            {**KIND, "variant": variant, "seed": seed, "run_id": f"{variant}{seed}", "slot": slot, "map": kind,
             "mask": mask, "severity": 3, "enrichment": 1.2 + value + shift + 7 * (mask == "object"),
             "enrichment_elsewhere": 1.2}
            for variant, of_variant in enrichments.items()
            for kind, of_seeds in of_variant.items()
            for seed, value in enumerate(of_seeds)
            for slot, shift in (("stage2", -0.1), ("stage3", 0.1))
            for mask in ("tile", "object")
        ]
    )  # fmt: skip


def make_accuracies(values):
    return pd.DataFrame(
        [
            {**KIND, "variant": variant, "seed": seed, "run_id": f"{variant}{seed}", "severity": severity,
             "accuracy": value}
            for variant, of_seeds in values.items()
            for seed, value in enumerate(of_seeds)
            for severity in (0, 5)
        ]
    )  # fmt: skip


HARMS = {
    "se": {"none": [0, 0, 0], "mean": [0.1, -0.2, 0.2], "identity": [3.0, 3.5, 3.2]},
    "cbam": {"none": [0, 0, 0], "mean": [1.0, 1.2, 1.1], "shuffle": [2.0, 2.2, 1.9], "identity": [3.0, 3.5, 3.2]},
}


def test_harms_come_with_intervals_over_seeds():
    table = harm_table(make_lesions(HARMS)).set_index(["variant", "lesion", "severity"])
    values = [2.0, 2.2, 1.9]
    row = table.loc["cbam", "shuffle", 0]
    assert (row["low"], row["high"]) == pytest.approx(stats.t.interval(0.95, 2, np.mean(values), stats.sem(values)))
    assert row["harm"] == pytest.approx(np.mean(values))
    assert table.loc[("cbam", "shuffle", 5), "harm"] == pytest.approx(2 * np.mean(values))
    assert table["clear"].groupby(["variant", "lesion"]).all().to_dict() == {
        ("se", "mean"): False, ("se", "identity"): True,
        ("cbam", "mean"): True, ("cbam", "shuffle"): True, ("cbam", "identity"): True,
    }  # fmt: skip


def test_with_one_seed_the_interval_is_that_over_its_images():
    table = harm_table(make_lesions({"se": {"none": [0], "mean": [0.2], "identity": [3.0]}})).query("severity == 0")
    table = table.set_index("lesion")
    assert table.loc["identity", ["low", "high"]].tolist() == [2.75, 3.25]
    assert table["clear"].to_dict() == {"mean": False, "identity": True}


def test_the_overview_has_a_row_a_lesion_and_a_column_a_severity():
    table = harm_overview(make_lesions({**HARMS, "spatial": {"none": [0], "mean": [-0.001]}}))
    assert table[["variant", "lesion"]].to_numpy().tolist() == [
        ["se", "mean"], ["se", "identity"],
        ["cbam", "mean"], ["cbam", "identity"], ["cbam", "shuffle"],
        ["spatial", "mean"],
    ]  # fmt: skip
    low, high = stats.t.interval(0.95, 2, np.mean([2.0, 2.2, 1.9]), stats.sem([2.0, 2.2, 1.9]))
    assert table.loc[4, "severity 0"] == f"2.03 [{low:.2f}, {high:.2f}]"
    assert table.loc[4, "severity 5"] == f"4.07 [{2 * low:.2f}, {2 * high:.2f}]"
    assert table.loc[5, "severity 0"] == "0.00 [-0.25, 0.25]", "no minus before nothing"


def test_a_severity_without_a_lesion_has_a_dash():
    frame = make_lesions(HARMS)
    table = harm_overview(frame[(frame["lesion"] != "mean") | (frame["severity"] == 0)])
    assert table.query("lesion == 'mean'")["severity 5"].tolist() == ["–", "–"]


def test_the_heat_map_shows_the_harms_and_stars_clear_ones():
    panels = lesion_figure(make_lesions(HARMS)).axes
    assert [axes.get_title() for axes in panels] == ["severity 0", "severity 5"]
    texts = [text.get_text() for text in panels[0].texts]
    assert texts == ["0.0", "3.2*", "1.1*", "2.0*", "3.2*"]
    assert [text.get_text() for text in panels[1].texts][2:] == ["2.2*", "4.1*", "6.5*"]
    # SE has no places to shuffle: its cell stays empty.
    assert panels[0].collections[0].get_array().mask.sum() == 1
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["se", "cbam"]
    text = describe_lesion_figure(make_lesions(HARMS))
    assert "se: 2 of 4 harms have intervals that exclude 0, the largest is 6.5 points (identity at severity 5)" in text


TODAY = {
    "se": {"none": [0, 0], "other_clutter": [0.1, 0.3], "other_image": [0.3, 0.5]},
    "cbam": {
        "none": [0, 0], "other_clutter": [1.0, 1.2], "shuffle": [2.0, 2.2], "other_clutter (channel)": [0.4, 0.6],
        "other_clutter (spatial)": [0.6, 0.8], "shuffle (spatial)": [2.0, 2.2],
    },
}  # fmt: skip


def test_a_map_that_was_replaced_by_itself_has_a_row_below_its_block():
    figure = lesion_figure(make_lesions(TODAY).assign(types="mosaic"))
    panel = figure.axes[0]
    rows = [label.get_text() for label in panel.get_yticklabels()]
    assert rows == ["se", "cbam", "cbam: channel map", "cbam: spatial map"]
    columns = [label.get_text().replace("\n", " ") for label in figure.axes[-1].get_xticklabels()]
    assert columns == ["other clutter", "other image", "shuffle"]
    texts = [text.get_text().removesuffix("*") for text in panel.texts]
    assert texts == ["0.2", "0.4", "1.1", "2.1", "0.5", "0.7", "2.1"]
    assert figure.get_suptitle() == "mosaic (axis: background)"


@pytest.mark.parametrize("types", ["mosaic", "fragments", "fragments+noise"])
def test_titles_and_descriptions_name_the_composition_and_its_axis(types):
    title = {
        "mosaic": "mosaic (axis: background)", "fragments": "fragments (axis: occlusion)",
        "fragments+noise": "fragments+noise (axis: mixed)",
    }[types]  # fmt: skip
    lesions = make_lesions(TODAY).assign(types=types)
    maps = make_maps({"cbam": {"spatial": [0.3, 0.5]}}).assign(types=types)
    accuracies = make_accuracies({"baseline": [60, 61], "cbam": [62, 64]})
    assert lesion_figure(lesions).get_suptitle() == looking_figure(maps, accuracies).get_suptitle() == title
    assert title in describe_lesion_figure(lesions)
    assert title in describe_looking_figure(maps, accuracies)


def test_the_gain_is_that_in_the_composition_of_the_maps():
    maps = make_maps({"cbam": {"spatial": [0.3, 0.5]}}).assign(types="mosaic")
    seen = make_accuracies({"baseline": [60, 61], "cbam": [62, 64]}).assign(types="surround+noise")
    unseen = make_accuracies({"baseline": [50, 51], "cbam": [57, 59]}).assign(types="mosaic")
    assert "cbam +0.40 and +7.5 points" in describe_looking_figure(maps, pd.concat([seen, unseen]))
    assert looking_figure(maps, pd.concat([seen, unseen]))._supylabel.get_text().endswith("above baseline")
    assert "cbam +0.40 and +2.5 points" in describe_looking_figure(maps, seen)
    assert looking_figure(maps, seen)._supylabel.get_text().endswith("above baseline in surround+noise")


@pytest.mark.parametrize("table", [harm_table, harm_overview, lesion_figure, looking_table, composition_of])
def test_compositions_are_never_mixed(table):
    frame = make_maps({"cbam": {"spatial": [0.3]}}) if table is looking_table else make_lesions(TODAY)
    with pytest.raises(InputError, match=r"of one composition of clutter types, but are of mosaic, fragments\. Choose"):
        table(pd.concat([frame.assign(types="mosaic"), frame.assign(types="fragments")]))


def test_lesions_that_were_measured_in_two_ways_are_never_mixed():
    old = make_lesions({"cbam": {"none": [0], "mean": [1.0], "other_same_class": [0.5], "other_class": [2.0]}})
    both = pd.concat([old, make_lesions(TODAY).replace({"run_id": {"cbam0": "cbam0 of today"}})])
    parts = by_donors(both)
    assert list(parts) == ["label", "random"]
    assert set(parts["label"]["lesion"]) == {"none", "mean", "other_same_class", "other_class"}
    assert set(parts["random"]["variant"]) == {"se", "cbam"}
    assert list(by_donors(old)) == ["label"]
    with pytest.raises(InputError, match="measured in one way to be averaged"):
        harm_table(both)
    lesion_figure(old)
    assert [label.get_text() for label in plt.gcf().axes[-1].get_xticklabels()] == [
        "mean",
        "same\nclass",
        "other\nclass",
    ]


def test_localisation_is_what_lies_on_the_own_tile_beyond_that_elsewhere():
    maps = make_maps({"se": {"grad_cam": [0.4]}, "cbam": {"spatial": [0.3, 0.5], "grad_cam": [0.1, 0.2]}})
    own = looking_table(maps)
    assert own[["variant", "seed"]].to_numpy().tolist() == [["cbam", 0], ["cbam", 1]]
    assert own["value"].tolist() == pytest.approx([0.3, 0.5])
    assert looking_table(maps, "grad_cam")["value"].tolist() == pytest.approx([0.4, 0.1, 0.2])
    assert looking_table(maps, mask="object")["value"].tolist() == pytest.approx([7.3, 7.5])
    with pytest.raises(InputError, match="`maps` must be one of 'gate', 'grad_cam', but got 'gates'"):
        looking_table(maps, "gates")


def test_the_scatter_shows_every_seed_and_the_means():
    maps = make_maps({
        "baseline": {"grad_cam": [0.0, 0.1]}, "cbam": {"spatial": [0.3, 0.5], "grad_cam": [0.1, 0.2]},
    })  # fmt: skip
    accuracies = make_accuracies({"baseline": [60, 61], "cbam": [62, 64], "se": [60, 60]})
    own, grad_cam = looking_figure(maps, accuracies).axes
    points = [line.get_xydata().tolist() for line in own.lines if line.get_marker() in (".", "^")]
    assert points[0] == pytest.approx(np.array([[0.3, 2], [0.5, 3]]))
    assert points[1] == pytest.approx(np.array([[0.4, 2.5]]))
    drawn = {line.get_marker() for line in grad_cam.lines}
    assert {"o", "^"} <= drawn
    assert "s" not in drawn
    text = describe_looking_figure(maps, accuracies)
    assert "the blocks' own maps: cbam +0.40 and +2.5 points; Grad-CAM: baseline +0.05 and +0.0 points" in text


def test_runs_that_were_tested_on_other_clutter_have_their_scatter():
    maps = make_maps({"cbam": {"spatial": [0.3, 0.5]}})
    accuracies = make_accuracies({"baseline": [60, 61], "cbam": [62, 64]}).assign(types="noise")
    assert "cbam +0.40 and +2.5 points" in describe_looking_figure(maps, accuracies)


def test_the_legend_has_the_marks_of_the_variants_that_are_drawn():
    maps = make_maps({"mine": {"spatial": [0.3, 0.5]}, "cbam": {"spatial": [0.1, 0.2]}})
    figure = looking_figure(maps, make_accuracies({"baseline": [60, 61], "mine": [62, 64], "cbam": [61, 61]}))
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.texts] == ["mine", "cbam"]
    marks = [line.get_marker() for line in legend.legend_handles]
    assert marks == list(markers(["mine", "cbam"]).values())
    assert set(marks) <= {line.get_marker() for line in figure.axes[0].lines}


def test_nothing_measured_is_an_error_that_says_so():
    maps, accuracies = make_maps({"se": {"grad_cam": [0.4]}}), make_accuracies({"baseline": [60], "cbam": [61]})
    with pytest.raises(
        InputError,
        match="must have measured maps and a partner of baseline with the same seed, but none of these runs has both",
    ):
        looking_figure(maps, accuracies)
    with pytest.raises(InputError, match="no lesion was measured"):
        lesion_figure(make_lesions({"se": {"none": [0]}}))
    with pytest.raises(InputError, match="none of these runs has both"):
        looking_figure(maps, accuracies[:0])


@pytest.mark.parametrize("table", [harm_table, looking_table])
def test_records_of_several_kinds_are_refused(table):
    frame = make_lesions(HARMS) if table is harm_table else make_maps({"cbam": {"spatial": [0.3]}})
    with pytest.raises(InputError, match="preset: quick, smoke"):
        table(pd.concat([frame, frame.assign(preset="smoke")]))
