import pytest

from attn_tutorial.spec import SEEN, RunSpec, SpecError

GIVEN = {"data": {"name": "shapes"}, "training": {"samples": 1000}}


def test_the_id_names_spec_and_images():
    spec = RunSpec.parse(GIVEN)
    assert spec.run_id("a") == RunSpec.model_validate_json(spec.model_dump_json()).run_id("a")
    others = [
        RunSpec.parse({**GIVEN, "seed": 1}).run_id("a"),
        RunSpec.parse({**GIVEN, "block": "se"}).run_id("a"),
        RunSpec.parse({**GIVEN, "training": {"samples": 1001}}).run_id("a"),
        spec.run_id("b"),
    ]
    assert len({spec.run_id("a"), *others}) == 5
    # The name of a run is part of every published record: it may not drift from machine to machine.
    assert spec.run_id("a") == "e4bcc6e096fe1d8d"
    pilot = {"clutter": {"types": ["fragments", "noise"], "severities": [0, 1, 2, 3]}}
    assert RunSpec.parse({**GIVEN, **pilot}).run_id("a") == "d772c55f1c04b21f"


@pytest.mark.parametrize("size", [16, 24])
def test_a_smaller_target_is_another_run_and_the_usual_size_is_not(size):
    plain = RunSpec.parse(GIVEN)
    assert RunSpec.parse({**GIVEN, "data": {"name": "shapes", "size": 32}}).run_id("a") == plain.run_id("a")
    small = RunSpec.parse({**GIVEN, "data": {"name": "shapes", "size": size}})
    assert small.run_id("a") != plain.run_id("a")
    assert small.versions() == {**plain.versions(), "resize": 1}


def test_training_sees_backgrounds_and_the_test_keeps_the_axes_apart():
    spec = RunSpec.parse(GIVEN)
    assert (spec.clutter.types, spec.clutter.severities) == (("noise", "surround"), (0, 1, 2))
    assert spec.evaluation.types == (SEEN, "mosaic", "crowd", "fragments", "strokes", "veil")
    assert spec.evaluation.recalibrated == ()


def test_the_order_of_clutter_types_changes_no_pixel_and_no_id():
    plain = RunSpec.parse(GIVEN)
    turned = RunSpec.parse({**GIVEN, "clutter": {"types": ["noise", "surround"]}})
    assert turned == plain
    assert turned.run_id("a") == plain.run_id("a")


@pytest.mark.parametrize(
    ("usual", "other"),
    [
        ({"backbone": {"norm_gain": 1.0}}, {"backbone": {"norm_gain": 0.5}}),
        ({"backbone": {"norm_gain": 1}}, {"backbone": {"norm_gain": 2}}),
        ({"backbone": {"pooling": "mean"}}, {"backbone": {"pooling": "max"}}),
        ({"backbone": {"pooling": "mean"}}, {"backbone": {"pooling": "attention"}}),
        ({"training": {"samples": 1000, "block_lr": None}}, {"training": {"samples": 1000, "block_lr": 0.05}}),
    ],
    ids=str,
)
def test_a_later_field_renames_only_the_runs_that_use_it(usual, other):
    """0.05 is the rate that None stands for: the same training, but the spec says more, as for any field."""
    plain = RunSpec.parse({**GIVEN, "block": "se"})
    assert RunSpec.parse({**GIVEN, "block": "se", **usual}).run_id("a") == plain.run_id("a") == "264bad3af125c897"
    assert RunSpec.parse({**GIVEN, "block": "se", **other}).run_id("a") != plain.run_id("a")


@pytest.mark.parametrize(
    "same",
    [
        {"block_options": {"reduction": 16}},
        {"stages": [3, 2, 1, 1]},
        {"backbone": {"depth": 8}},
        {"training": {"samples": 1000, "momentum": 0.9}},
    ],
)
def test_one_network_has_one_id(same):
    plain = RunSpec.parse({**GIVEN, "block": "se"})
    assert RunSpec.parse({**GIVEN, "block": "se", **same}) == plain
    assert RunSpec.parse({**GIVEN, "block": "se", **same}).run_id("a") == plain.run_id("a")
    assert plain.block_options["bias"] is True  # the record says it all
    assert RunSpec.parse({**GIVEN, "block": "se", "stages": [2, 3, 2]}).stages == (2, 3)
    assert RunSpec.parse({**GIVEN, "block": "se", "block_options": {"reduction": 8}}).run_id("a") != plain.run_id("a")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            {"training": {"samples": 1000, "lr": "1e-3"}},
            ["training.lr", "but got '1e-3'", "text, not a number", "1.0e-3"],
        ),
        ({"training": {"samples": 1000.5}}, ["training.samples", "but got 1000.5", "integer"]),
        (
            {"training": {"samples": 1000, "learning_rate": 0.1}},
            ["learning_rate: unknown name", "lr", "momentum"],
        ),
        ({"block": "cbma"}, ["cbma", "cbam"]),
        ({"block": "se", "block_options": {"reductoin": 8}}, ["reductoin", "reduction"]),
        ({"block_options": {"reduction": 8}}, ["without a block"]),
        ({"stages": [2]}, ["without a block"]),
        ({"position": "post"}, ["without a block"]),
        ({"data": {"name": "cifar"}}, ["data.name", "but got 'cifar'", "'cifar10'"]),
        ({"stages": [4]}, ["stages", "but got 4"]),
        ({"clutter": {"severities": [7]}}, ["clutter.severities", "but got 7"]),
        ({"clutter": {"types": ["fog"]}}, ["clutter.types", "but got ('fog',)", "mosaic"]),
        ({"evaluation": {"types": ["noise+fog"]}}, ["but got 'noise+fog'", "joined by +", "mosaic"]),
        ({"evaluation": {"types": ["noise+noise"]}}, ["but got 'noise+noise'", "must name each type only once"]),
        ({"data": {"name": "shapes", "size": 20}}, ["data.size", "must be one of 16, 24, 32", "but got 20"]),
        (
            {"data": {"name": "shapes", "size": 24}, "clutter": {"canvas": 20}},
            ["clutter.canvas must be at least", "24 px", "but got 20"],
        ),
        ({"clutter": {"types": ["noise", "noise"]}}, ["must name each only once"]),
        ({"evaluation": {"types": ["noise", "noise"]}}, ["must name each only once"]),
        ({"seed": -1}, ["seed", "but got -1", "greater than or equal to 0"]),
        ({"training": {}}, ["training.samples", "a value must be given"]),
        ({"backbone": {"norm_gain": 0.0}}, ["backbone.norm_gain", "greater than 0", "but got 0.0"]),
        ({"backbone": {"norm_gain": -0.5}}, ["backbone.norm_gain", "greater than 0", "but got -0.5"]),
        ({"backbone": {"norm_gain": float("inf")}}, ["backbone.norm_gain", "finite", "but got inf"]),
        ({"backbone": {"norm_gain": float("nan")}}, ["backbone.norm_gain", "finite", "but got nan"]),
        ({"backbone": {"norm_gain": "0.5"}}, ["backbone.norm_gain", "but got '0.5'", "text, not a number"]),
        ({"backbone": {"pooling": "avg"}}, ["backbone.pooling", "'mean', 'max' or 'attention'", "but got 'avg'"]),
        *(
            (
                {"oracle": oracle, "backbone": {"pooling": pooling}},
                ["backbone.pooling must be 'mean' for an oracle", f"but got '{pooling}'", "leave it out"],
            )
            for oracle in ("gate", "wrong_gate")
            for pooling in ("max", "attention")
        ),
        (
            {"training": {"samples": 1000, "block_lr": 0.1}},
            ["training.block_lr must be left out without a block", "but got 0.1", "name the block"],
        ),
        (
            {"block": "se", "training": {"samples": 1000, "block_lr": 0.0}},
            ["training.block_lr", "greater than 0", "but got 0.0"],
        ),
    ],
)
def test_what_is_wrong_is_said(change, parts):
    with pytest.raises(SpecError) as caught:
        RunSpec.parse({**GIVEN, **change})
    for part in parts:
        assert part in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_a_spec_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        RunSpec.parse(GIVEN).seed = 3  # type: ignore[misc]
