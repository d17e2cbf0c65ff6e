"""The protocol's rule for "looks at the target", on frames in which every number is known."""

import pandas as pd
import pytest

from attn_tutorial.analysis import judge_looking
from attn_tutorial.analysis.looking import of_places

KIND = {"preset": "published", "fingerprint": "f", "backbone": "b"}
TYPES = ("surround+noise", "mosaic", "fragments")
SPREAD = (-0.3, -0.1, 0.1, 0.3)  # over seeds


def lesions_of(strong, weak, seeds=range(10, 14), kinds=("",), lesions=("other_clutter", "shuffle")):
    """Harms in points: `strong` at severity 5, `weak` at severity 0, twice as large on mosaic as on surround+noise."""
    factor = {"surround+noise": 2 / 3, "mosaic": 4 / 3, "fragments": 50}
    rows = [
        {**KIND, "run_id": f"{seed}", "variant": "cbam", "seed": seed, "types": types, "severity": severity,
         "lesion": lesion + kind, "harm": (harm + SPREAD[(seed - 10) % 4] * (severity > 0)) * factor[types]}
        for seed in seeds for types in TYPES for severity, harm in ((0, weak), (3, 99.0), (5, strong))
        for lesion in lesions for kind in kinds
    ]  # fmt: skip
    return pd.DataFrame(rows)


def maps_of(beyond, seeds=range(10, 14)):
    """Enrichments of two slots, whose mean beyond another canvas's mask is `beyond`."""
    rows = [
        {**KIND, "run_id": f"{seed}", "variant": "cbam", "seed": seed, "types": types, "severity": severity,
         "slot": slot, "map": kind, "mask": mask, "enrichment": 1 + own + SPREAD[(seed - 10) % 4],
         "enrichment_elsewhere": 1.0}
        for seed in seeds for types in TYPES for severity in (0, 5) for slot, own in (("a", 0.0), ("b", 2 * beyond))
        for kind in ("spatial", "grad_cam") for mask in ("tile", "object")
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    other = (frame["map"] == "grad_cam") | (frame["mask"] == "object") | (frame["severity"] == 0)
    frame.loc[other, "enrichment"] = 90.0  # none of these counts
    return frame


def test_a_block_looks_if_all_conditions_hold_for_the_mean_of_both_backgrounds():
    looking = judge_looking(lesions_of(2.0, 0.5), maps_of(0.6), "cbam")
    assert looking.word == "looks"
    assert not looking.missing
    found = looking.conditions
    assert found["harm by `shuffle`"].mean == pytest.approx(2.0)
    assert found["more harm by `other_clutter` than at severity 0"].mean == pytest.approx(1.5)
    assert found["maps on their own target"].mean == pytest.approx(0.6)
    assert {each.seeds for each in found.values()} == {4}
    half = 3.182446 * pd.Series(SPREAD).std() / 2  # Student's t with 3 degrees of freedom
    assert found["harm by `shuffle`"].low == pytest.approx(2.0 - half)


@pytest.mark.parametrize(
    ("lesions", "maps", "missing"),
    [
        (lesions_of(0.2, -1), maps_of(0.6), ["harm by `other_clutter`", "harm by `shuffle`"]),
        (
            lesions_of(2.0, 2.0),
            maps_of(0.6),
            ["more harm by `other_clutter` than at severity 0", "more harm by `shuffle` than at severity 0"],
        ),
        (lesions_of(2.0, 0.5), maps_of(0.1), ["maps on their own target"]),
    ],
    ids=["no harm", "no more harm", "maps elsewhere"],
)
def test_each_condition_is_needed(lesions, maps, missing):
    looking = judge_looking(lesions, maps, "cbam")
    assert looking.word == "not shown"
    assert looking.missing == missing


def test_of_several_maps_the_one_of_places_decides():
    channel = lesions_of(9.0, 0.0, kinds=("", " (channel)"), lesions=("other_clutter",))
    spatial = lesions_of(2.0, 0.5, kinds=(" (spatial)",))
    whole = lesions_of(9.0, 0.0, lesions=("shuffle",))
    looking = judge_looking(pd.concat([channel, spatial, whole]), maps_of(0.4), "cbam")
    assert looking.conditions["harm by `other_clutter`"].mean == pytest.approx(2.0)
    assert looking.conditions["harm by `shuffle`"].mean == pytest.approx(2.0)
    assert of_places(["mean", "shuffle (spatial)", "other_clutter", "shuffle"]) == [
        "other_clutter (spatial)",
        "shuffle (spatial)",
    ]


def test_a_block_without_places_cannot_look_and_few_seeds_decide_nothing():
    flat = lesions_of(2.0, 0.5, lesions=("other_clutter",))
    assert judge_looking(flat, maps_of(0.4), "cbam").word == "no places"
    few = range(10, 13)
    assert judge_looking(lesions_of(2.0, 0.5, few), maps_of(0.4, few), "cbam").word == "too few seeds"


def test_what_was_not_measured_is_not_judged():
    lesions = lesions_of(2.0, 0.5)
    assert judge_looking(lesions, maps_of(0.4).iloc[:0], "cbam").word == "not measured"
    assert judge_looking(lesions[lesions["types"] != "mosaic"], maps_of(0.4), "cbam") is None
    assert judge_looking(lesions, maps_of(0.4), "se") is None


def test_seeds_that_do_not_differ_give_no_interval_and_show_nothing():
    lesions = lesions_of(2.0, 0.5)
    lesions["harm"] = 2.0
    assert judge_looking(lesions, maps_of(0.4), "cbam").word == "not shown"


def test_a_seed_without_one_of_the_backgrounds_does_not_count():
    lesions = lesions_of(2.0, 0.5, range(10, 15))
    lesions = lesions[(lesions["seed"] != 14) | (lesions["types"] == "mosaic")]
    looking = judge_looking(lesions, maps_of(0.4), "cbam")
    assert looking.conditions["harm by `shuffle`"].seeds == 4
    assert looking.conditions["harm by `shuffle`"].mean == pytest.approx(2.0)
