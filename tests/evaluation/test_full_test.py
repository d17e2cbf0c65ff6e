import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from attn_tutorial.blocks import BLOCK_NAMES, AttentionBlock
from attn_tutorial.clutter import Clutter
from attn_tutorial.evaluation import NOT_TESTED, evaluate
from attn_tutorial.ledger.record import Lesion, Localisation
from attn_tutorial.spec import SEEN, RunSpec, SpecError
from attn_tutorial.training import build_model


def make_spec(block=None, clutter=None, **evaluation):
    if "look" not in evaluation:
        evaluation["look"] = {"images": 20, "severities": [5], "types": None}
    about = {"block": block} if block else {}
    return RunSpec.parse(
        {
            "data": {"name": "shapes"},
            "training": {"samples": 128},
            "clutter": clutter or {},
            "evaluation": evaluation,
            **about,
        }
    )


def look_at(spec, test, train, **options):
    return look(build_model(spec, train), spec, test, train, **options)


def look(*arguments, **options):
    found = evaluate(*arguments, **options)
    return {field: found[field] for field in ("localisation", "lesions")}


def test_rows_are_a_records_and_say_in_which_clutter(test_images, train):
    found = look_at(make_spec("cbam", look={"images": 20, "severities": [0, 5]}), test_images, train)
    rows = [Localisation.model_validate(row) for row in found["localisation"]]
    lesions = [Lesion.model_validate(row) for row in found["lesions"]]
    looked = {(types, severity) for types in (SEEN, "mosaic", "fragments") for severity in (0, 5)}
    assert {(row.types, row.severity) for row in (*rows, *lesions)} == looked
    rows, lesions = ([row for row in found if row.types == SEEN] for found in (rows, lesions))
    assert {(row.slot, row.map) for row in rows} == {
        *((f"stage{number}.0.slot", "spatial") for number in (1, 2, 3)),
        ("stage3", "grad_cam"),
    }
    assert [(row.height, row.width) for row in rows[:4]] == [(24, 24), (12, 12), (6, 6), (6, 6)]
    assert {row.images for row in (*rows, *lesions)} == {20}
    assert len(lesions) == 2 * (1 + 5 + 7)


@pytest.mark.parametrize("block", BLOCK_NAMES)
def test_every_block(block, test_images, train):
    found = look_at(make_spec(block, look={"images": 10, "severities": [5]}), test_images, train)
    assert found["localisation"][-1]["map"] == "grad_cam"
    json.dumps(found, allow_nan=False)


def test_a_block_of_ones_own(own_block, test_images, train):
    @own_block
    class Loudest(AttentionBlock):
        name = "loudest"

        def attention(self, x):
            return {"spatial": x.amax(1, keepdim=True).sigmoid()}

    found = look_at(make_spec("loudest"), test_images, train)
    assert [row["map"] for row in found["localisation"]] == ["spatial", "spatial", "spatial", "grad_cam"]
    assert [row["lesion"] for row in found["lesions"]][-2:] == ["shuffle", "identity"]


def test_a_network_without_blocks_has_grad_cam_only(test_images, train):
    found = look_at(make_spec(), test_images, train)
    assert [row["map"] for row in found["localisation"]] == ["grad_cam"]
    assert found["lesions"] == []


@pytest.mark.parametrize(
    ("wanted", "rows", "lesions"),
    [
        (None, 0, 0),
        ({"images": 20, "severities": [5], "types": None, "localisation": False}, 0, 13),
        ({"images": 10, "severities": [5], "types": None, "lesions": False}, 4, 0),
        ({"images": 10, "severities": [5], "types": ["mosaic", "veil"], "lesions": False}, 8, 0),
        ({"images": 10, "severities": [1, 2]}, 0, 0),
    ],
    ids=["none", "lesions", "localisation", "two compositions", "severities that are not tested"],
)
def test_what_is_not_asked_for_is_not_done(wanted, rows, lesions, test_images, train):
    found = look_at(make_spec("cbam", severities=[0, 5], look=wanted), test_images, train)
    assert (len(found["localisation"]), len(found["lesions"])) == (rows, lesions)


def test_a_removed_tile_cannot_be_looked_at(test_images, train):
    spec = make_spec("cbam", clutter={"tile": "removed"})
    assert look_at(spec, test_images, train) == {"localisation": [], "lesions": []}


def test_on_a_canvas_that_the_tile_covers_gates_are_still_replaced(test_images, train):
    found = look_at(make_spec("se", clutter={"canvas": 32}, severities=[5]), test_images, train)
    assert found["localisation"] == []
    assert len(found["lesions"]) == 5


@pytest.mark.parametrize(
    ("types", "expected"), [(["veil", "mosaic"], ["mosaic", "veil"]), (["noise"], ["mosaic"]), (None, ["mosaic"])]
)
def test_it_looks_at_what_is_asked_for_and_tested_or_at_the_first_composition(types, expected, test_images, train):
    spec = make_spec("se", types=["mosaic", "veil", "crowd"], images=30, look={"severities": [3], "types": types})
    found = look_at(spec, test_images, train)
    assert {(row["types"], row["images"]) for row in found["lesions"]} == {(each, 30) for each in expected}


def test_maps_are_compared_with_silhouettes_too(test_images, train):
    test_images = replace(test_images, masks=torch.ones(50, 32, 32, dtype=torch.bool))
    found = look_at(make_spec(), test_images, train)
    tile, silhouette = found["localisation"]
    assert (tile["mask"], silhouette["mask"]) == ("tile", "object")
    assert tile["enrichment"] == silhouette["enrichment"], "these silhouettes are the whole tile"


def test_each_canvas_is_rendered_once_and_passes_the_intact_network_once(test_images, train, monkeypatch):
    """But for the donors' canvases, which are others."""
    spec = make_spec("se", types=[SEEN, "mosaic"], severities=[0, 5], look={"images": 20, "severities": [0, 5]})
    model = build_model(spec, train)
    rendered, passed, render = [], [], Clutter.render

    def watch(clutter, images, indices, epoch=0, **options):
        if images.split == "test":
            names = images.index[torch.as_tensor(indices)].tolist()
            rendered.extend((clutter.types, clutter.severity, epoch, name) for name in names)
        return render(clutter, images, indices, epoch, **options)

    monkeypatch.setattr(Clutter, "render", watch)
    model.stem[0].register_forward_hook(lambda module, inputs, output: passed.append(len(output)))
    evaluate(model, spec, test_images, train)
    assert len(rendered) == len(set(rendered)) == 3 * (50 + 20)
    assert sum(passed) == 3 * (50 + 20) + 20, "and the 20 training canvases: mean gates, new statistics"


def test_accuracy_and_answers_do_not_depend_on_what_else_is_measured(test_images, train):
    model = build_model(make_spec("cbam"), train)
    about = {"types": [SEEN, "crowd"], "severities": [0, 5]}
    found = [
        evaluate(model, make_spec("cbam", **about, look=look), test_images, train) for look in (None, {"images": 20})
    ]
    for one, two in zip(*(each["accuracy"] for each in found), strict=True):
        assert one["accuracy"] == two["accuracy"]
        assert one["per_class"] == two["per_class"]
        assert one["nll"] == pytest.approx(two["nll"], abs=1e-5)
    for cell, named in found[0]["answers"].items():
        assert np.array_equal(named, found[1]["answers"][cell])


def test_answers_are_those_that_the_accuracy_counts(test_images, train):
    spec = make_spec("se", types=[SEEN, "veil"], severities=[0, 4], images=40, secondary_images=20)
    found = evaluate(build_model(spec, train), spec, test_images, train)
    labels = test_images.labels.numpy()
    assert [(row["types"], row["severity"], row["images"]) for row in found["accuracy"]] == [
        (SEEN, 0, 40), (SEEN, 4, 40), ("veil", 0, 40), ("veil", 4, 20),
    ]  # fmt: skip
    for row in found["accuracy"]:
        named = found["answers"][row["types"], row["severity"]]
        assert (named.dtype, len(named)) == (np.uint8, 50)
        tested = named != NOT_TESTED
        assert np.array_equal(np.flatnonzero(tested), test_images.first(row["images"]).numpy())
        assert (named == labels)[tested].mean() == row["accuracy"]


def test_attention_pooling_has_a_map(test_images, train):
    spec = make_spec()
    spec = RunSpec.parse({**spec.model_dump(), "backbone": {"pooling": "attention"}})
    model = build_model(spec, train)
    found = look(model, spec, test_images, train)["localisation"]
    assert [(row["slot"], row["map"]) for row in found] == [("pool", "spatial"), ("stage3", "grad_cam")]
    assert (found[0]["enrichment"], found[0]["auc"]) == (1.0, 0.5), "it starts as the mean"


def test_it_is_the_same_each_time_and_leaves_the_network_as_it_is(test_images, train):
    spec = make_spec("cbam+non_local")
    model = build_model(spec, train).train()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    torch.manual_seed(1)
    first = look(model, spec, test_images, train)
    torch.manual_seed(2)
    assert look(model, spec, test_images, train) == first
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())


def test_every_test_that_is_asked_for_is_run(test_images, train):
    spec = make_spec("se", severities=[5], types=["noise"], recalibrated=["noise"])
    found = evaluate(build_model(spec, train), spec, test_images, train)
    assert [row["types"] for row in found["accuracy"]] == ["noise"]
    assert [len(found[name]) for name in ("localisation", "lesions")] == [1, 5]


@pytest.mark.parametrize("after", [0, 1, 2, 5, 12])
def test_it_stops_when_asked(after, test_images, train):
    asked = []

    def should_stop():
        asked.append(1)
        return len(asked) > after

    with pytest.raises(InterruptedError):
        look_at(make_spec("se", look={"images": 50}), test_images, train, should_stop=should_stop)
    assert len(asked) == after + 1


def test_what_is_looked_at_changes_no_runs_name():
    spec = make_spec("se", look={})
    assert spec.evaluation.look is not None
    assert "look" not in json.dumps(spec.model_dump(mode="json", exclude_defaults=True))
    assert len({make_spec("se", look=look).run_id("f") for look in ({}, None, {"images": 100})}) == 1


def test_a_wrong_option_is_refused_in_words():
    with pytest.raises(SpecError, match=r"evaluation\.look\.image: unknown name; it must be one of images, severities"):
        make_spec(look={"image": 10})
    with pytest.raises(SpecError, match=r"evaluation\.look\.severities\.0: .* but got 7"):
        make_spec(look={"severities": [7]})
