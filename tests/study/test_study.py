import pytest
import torch

from attn_tutorial.backbones import resnet
from attn_tutorial.blocks import BLOCK_NAMES
from attn_tutorial.clutter.names import SEEN_TYPES, UNSEEN_TYPES
from attn_tutorial.errors import InputError
from attn_tutorial.spec import BackboneSpec, Images, SpecError
from attn_tutorial.study import Preset, Study, preset_names, study_names
from attn_tutorial.study.study import MOST_SEEDS

CIFAR = Images(name="cifar10", source="CIFAR-10", fingerprint="a" * 64, archive_sha256=None)
SHAPES = Images(name="shapes", source="shapes", fingerprint="b" * 64, archive_sha256=None)


def test_the_headline_compares_what_it_says():
    runs = Study.load("headline").plan("quick", CIFAR)
    assert [run.variant for run in runs] == ["baseline", "se", "cbam", "non_local"]
    assert [run.spec.block for run in runs] == [None, "se", "cbam", "non_local"]
    assert len({run.run_id for run in runs}) == 4


@pytest.mark.parametrize("study", study_names())
@pytest.mark.parametrize("preset", preset_names())
def test_variants_differ_in_their_slots_only(study, preset):
    slots = {"block", "block_options", "stages", "position"}
    if study in ("audit", "audit-occlusion", "training-clutter"):  # what the networks see differs
        slots |= {"clutter", "evaluation"}
    if study in ("audit", "backgrounds"):  # some networks are told where the target is
        slots |= {"oracle"}
    recipes = {"recipe", "clean", "length", "budget", "pilot", "learning-rates", "backgrounds"}
    if study in recipes:  # how they are trained differs
        slots |= {"training"}
    if study in ("budget", "pilot", "backgrounds", "learning-rates"):
        slots |= {"backbone", "clutter"}
    if study == "backgrounds":  # two are also tested with BatchNorm statistics of the unseen backgrounds
        slots |= {"evaluation"}
    for images in (CIFAR, SHAPES):
        runs = Study.load(study).plan(preset, images, seeds=1)
        runs = [run for run in runs if not run.variant.startswith("wider")]
        shared = {str(run.spec.model_dump(exclude=slots)) for run in runs}
        assert len(shared) == (1 if "backbone" in slots else len(Preset.load(preset).backbones))
        assert {run.spec.block for run in runs} <= {None, *BLOCK_NAMES}


@pytest.mark.parametrize("preset", preset_names())
def test_every_network_of_every_study_can_be_built(preset):
    specs = {
        run.spec.model_copy(update={"training": None, "clutter": None, "evaluation": None}).model_dump_json(): run.spec
        for study in study_names()
        for run in Study.load(study).plan(preset, SHAPES, seeds=1)
    }
    for spec in specs.values():
        backbone = spec.backbone
        with torch.device("meta"):
            resnet(
                backbone.depth, backbone.width, backbone.stem, spec.block, spec.stages, spec.position,
                spec.block_options, widths=backbone.widths, oracle=spec.oracle is not None, pooling=backbone.pooling,
                norm_gain=backbone.norm_gain,
            )  # fmt: skip


@pytest.mark.parametrize("study", study_names())
def test_the_baseline_and_the_controls_of_a_study_are_variants_of_it(study):
    loaded = Study.load(study)
    assert {loaded.baseline, *loaded.controls} <= set(loaded.variants)


def test_a_length_is_a_multiple_of_the_presets_samples():
    for preset in preset_names():
        samples = Preset.load(preset).samples["cifar10"]
        by_name = {run.variant: run.spec.training.samples for run in Study.load("clean").plan(preset, CIFAR, seeds=1)}
        assert by_name == {
            "a sixth": round(samples / 6), "a third": round(samples / 3), "two thirds": round(samples * 2 / 3)
        }  # fmt: skip


@pytest.mark.parametrize("length", [0, -1, "3", True, None, float("nan"), float("inf")])
def test_a_length_that_is_none_is_refused(length):
    study = Study.parse({"name": "own", "title": "t", "question": "q", "variants": {"a": {"length": length}}})
    with pytest.raises(SpecError, match=r"length must be a number above 0 .* but got"):
        study.plan("smoke", CIFAR)


def test_a_variant_may_be_compared_with_another_than_the_baseline():
    variants = {"a": {}, "b": {"length": 3}, "c": {"block": "se"}, "d": {"block": "se", "length": 3}}
    own = {"name": "own", "title": "t", "question": "q", "variants": variants}
    assert Study.parse({**own, "baseline": "a"}).comparisons == {"a": ["b", "c", "d"]}
    study = Study.parse({**own, "baseline": "a", "references": {"d": "b"}})
    assert study.comparisons == {"a": ["b", "c"], "b": ["d"]}
    for references, words in (
        ({"d": "x"}, "references: must be variants of this study .* but got x"),
        ({"x": "a"}, "references: must be variants of this study .* but got x"),
        ({"d": "d"}, "references: must not give one to the baseline, or a variant to itself, but got d"),
        ({"a": "b"}, "references: must not give one to the baseline, or a variant to itself, but got a"),
    ):
        with pytest.raises(SpecError, match=words):
            Study.parse({**own, "baseline": "a", "references": references})


@pytest.mark.parametrize("study", [name for name in study_names() if Study.load(name).references])
def test_a_reference_differs_in_the_slots_only(study):
    loaded = Study.load(study)
    specs = {run.variant: run.spec for run in loaded.plan("full-cpu", CIFAR, seeds=1)}
    slots = {"block", "block_options", "stages", "position"}
    for variant, reference in loaded.references.items():
        pair = [specs[name].model_dump(exclude=slots) for name in (variant, reference)]
        for each in pair:  # a block's weights may have a learning rate of their own
            each["training"].pop("block_lr")
        assert pair[0] == pair[1], variant


def test_a_stem_that_is_trained_always_is_written_in_one_way():
    spec = BackboneSpec.parse({"stem": "conv3", "stem_trained": True})
    assert spec == BackboneSpec(stem="conv3")
    assert BackboneSpec.parse({"stem_trained": True}).stem_trained


def test_a_variant_may_have_fewer_seeds_than_the_others():
    study = Study.parse(
        {"name": "own", "title": "t", "question": "q", "variants": {"a": {}, "b": {"block": "se"}}, "seeds": {"b": 2}}
    )
    planned = [(run.variant, run.spec.seed) for run in study.plan("full-cpu", SHAPES)]
    assert planned == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2)]
    assert len(study.plan("full-cpu", SHAPES, seeds=3)) == 6, "asked for, they are all there"
    assert {run.spec.seed for run in Study.load("se-gate").plan("full", CIFAR)} == {0, 1, 2}
    of_main = [run.variant for run in Study.load("main").plan("full", CIFAR)]
    assert (of_main.count("cbam"), of_main.count("simam")) == (2 * 10, 2 * 5)  # in two backbones
    for field, value in (("seeds", {"c": 2}), ("controls", ["c"]), ("baseline", "c")):
        with pytest.raises(SpecError, match=rf"{field}: must be variants of this study \(a\), but got c"):
            Study.parse({"name": "own", "title": "t", "question": "q", "variants": {"a": {}}, field: value})


def test_counting_begins_with_the_first_seed_of_the_study():
    variants = {"a": {}, "b": {"block": "se"}}
    own = {"name": "own", "title": "t", "question": "q", "variants": variants, "seeds": {"b": 2}}
    study = Study.parse({**own, "first_seed": 10})
    planned = [(run.variant, run.spec.seed) for run in study.plan("full-cpu", SHAPES)]
    assert planned == [("a", 10), ("b", 10), ("a", 11), ("b", 11), ("a", 12)]
    assert [run.spec.seed for run in study.plan("full-cpu", SHAPES, seeds=1)] == [10, 10]
    from_zero = Study.parse(own).plan("full-cpu", SHAPES, seeds=11)
    assert study.plan("full-cpu", SHAPES, seeds=1) == from_zero[-2:], "the same runs as those of a larger count from 0"
    with pytest.raises(SpecError, match=r"but got 0\. It is not a seed: 3 means the seeds 10, 11 and 12\."):
        study.plan("full-cpu", SHAPES, seeds=0)


@pytest.mark.parametrize("value", [-1, 1.5, "10", True, None, 2**32])
def test_a_first_seed_that_is_none_is_refused(value):
    own = {"name": "own", "title": "t", "question": "q", "variants": {"a": {}}}
    with pytest.raises(SpecError, match="first_seed: "):
        Study.parse({**own, "first_seed": value})


def test_counting_ends_before_seeds_that_do_not_exist():
    own = {"name": "own", "title": "t", "question": "q", "variants": {"a": {}}, "first_seed": 2**32 - 2}
    assert [run.spec.seed for run in Study.parse(own).plan("full-cpu", SHAPES, 2)] == [2**32 - 2, 2**32 - 1]
    with pytest.raises(SpecError, match=r"seeds must be below 2\^32, but 3 seeds from 4294967294 on are not"):
        Study.parse(own).plan("full-cpu", SHAPES, 3)


def test_as_many_seeds_as_a_plan_may_have():
    own = Study.parse({"name": "own", "title": "t", "question": "q", "variants": {"a": {}}})
    assert len(own.plan("full-cpu", SHAPES, MOST_SEEDS)) == MOST_SEEDS == 1000


def test_the_margin_comes_from_seeds_that_nothing_else_uses_on_validation_images():
    runs = Study.load("margin").plan("published", CIFAR)
    assert [(run.variant, run.spec.seed) for run in runs] == [("baseline", 1), ("baseline", 2), ("baseline", 3)]
    assert {run.spec.evaluation.split for run in runs} == {"val"}
    assert {"mosaic", "crowd"} <= set(runs[0].spec.evaluation.types)
    searched = {run.spec.seed for run in Study.load("learning-rates").plan("published", CIFAR)}
    published = Study.load("backgrounds").plan("published", CIFAR)
    assert searched == {0}
    assert min(run.spec.seed for run in published) == 10
    of_the_study = next(run.spec for run in published if run.variant == "baseline")
    assert runs[0].spec.training == of_the_study.training


def test_variants_named_first_come_before_the_others_with_all_seeds():
    study = Study.parse(
        {
            "name": "order", "title": "t", "question": "q", "first": ["se", "baseline"],
            "variants": {"eca": {"block": "eca"}, "baseline": {}, "se": {"block": "se"}},
        }
    )  # fmt: skip
    runs = study.plan("quick", CIFAR, 2)
    assert [(run.variant, run.spec.seed) for run in runs] == [
        ("baseline", 0), ("se", 0), ("baseline", 1), ("se", 1), ("eca", 0), ("eca", 1),
    ]  # fmt: skip
    without = study.model_copy(update={"first": []})
    assert [run.variant for run in without.plan("quick", CIFAR, 2)] == ["eca", "baseline", "se"] * 2
    with pytest.raises(SpecError, match=r"first: must be variants of this study .* but got sE"):
        Study.parse({**study.model_dump(exclude_unset=True), "first": ["sE"]})


def test_the_blocks_on_backgrounds_start_as_the_identity_and_the_rest_explains_them():
    study = Study.load("backgrounds")
    assert study.family == ["se", "cbam", "spatial", "non_local"]
    specs = {run.variant: run.spec for run in study.plan("published", CIFAR, seeds=1)}
    assert {specs[name].block_options["at_start"] for name in ("se", "cbam", "spatial")} == {"identity"}
    assert specs["non_local"].block_options["zero_init"]
    differ = {
        "cbam half": ("cbam", {"block_options"}),
        "cbam, all backgrounds": ("cbam", {"clutter"}),
        "cbam, 3×": ("cbam", {"training"}),
        "supervised gate": ("spatial", {"training"}),
        "static_spatial": ("spatial", {"block", "block_options"}),
        "non_local, uniform": ("non_local", {"block_options"}),
        "baseline, all backgrounds": ("baseline", {"clutter"}),
        "baseline, 3×": ("baseline", {"training"}),
        "baseline, gain half": ("baseline", {"backbone"}),
        "attention pooling": ("baseline", {"backbone", "training"}),
        "wider, non_local's flops": ("baseline", {"backbone"}),
        "oracle gate": ("baseline", {"oracle"}),
        "wrong oracle": ("baseline", {"oracle"}),
    }
    assert set(differ) == set(study.controls)
    for control, (other, fields) in differ.items():
        one, two = specs[control].model_dump(), specs[other].model_dump()
        assert {field for field in one if one[field] != two[field]} - {"evaluation"} == fields, control
    recalibrated = {name for name, spec in specs.items() if spec.evaluation.recalibrated}
    assert recalibrated == {"baseline", "cbam"}
    assert set(specs["cbam, all backgrounds"].clutter.types) == {*SEEN_TYPES, *UNSEEN_TYPES}


def test_the_seeds_on_backgrounds_were_used_for_no_choice():
    study = Study.load("backgrounds")
    runs = study.plan("published", CIFAR)
    seeds = {}
    for run in runs:
        seeds.setdefault(run.variant, []).append(run.spec.seed)
    counts = {name: len(each) for name, each in seeds.items()}
    assert all(each == list(range(10, 10 + len(each))) for each in seeds.values())
    assert {name for name, count in counts.items() if count == 10} == {
        "baseline", *study.family, "attention pooling", "oracle gate"
    }  # fmt: skip
    assert {name for name, count in counts.items() if count == 3} == {"baseline, 3×", "cbam, 3×"}
    assert set(counts.values()) == {10, 6, 3}
    chosen_on = [Study.load(name).plan("published", CIFAR) for name in ("learning-rates", "recipe", "pilot")]
    assert not {run.spec.seed for run in runs} & {run.spec.seed for plan in chosen_on for run in plan}


def test_what_is_fixed_holds_for_all_variants():
    runs = Study.load("clean").plan("quick", CIFAR)
    assert {(run.spec.clutter.canvas, run.spec.clutter.severities) for run in runs} == {(32, (0,))}


def test_a_variant_names_only_what_differs_in_a_part():
    by_name = {run.variant: run.spec for run in Study.load("audit").plan("quick", CIFAR)}
    removed = by_name["tile_removed"]
    assert (removed.clutter.tile, removed.clutter.severities) == ("removed", (0, 1, 2))
    assert set(removed.clutter.types) == {*SEEN_TYPES, *UNSEEN_TYPES}
    assert (removed.data.size, removed.evaluation.images, removed.evaluation.look) == (24, None, None)
    baseline, of_headline = by_name["baseline"], Study.load("headline").plan("quick", CIFAR)[0].spec
    assert baseline.run_id("a") == of_headline.run_id("a"), "trained once for both"


@pytest.mark.parametrize("preset", preset_names())
def test_the_primary_geometry_is_that_of_every_study_but_the_earlier_ones(preset):
    """A study is pinned to the earlier benchmark only by its own file, so that a new study never is by accident."""
    earlier = {"pilot", "headline-occlusion", "audit-occlusion", "budget", "clean", "recipe"}
    on_canvases_of_their_own = {"budget", "clean", "recipe"}
    for study in study_names():
        specs = [run.spec for run in Study.load(study).plan(preset, SHAPES, seeds=1)]
        assert {spec.data.size for spec in specs} == ({32} if study in earlier else {24}), study
        if study not in on_canvases_of_their_own:
            assert {spec.clutter.canvas for spec in specs} == {48}, study


@pytest.mark.parametrize(("study", "earlier"), [("headline", "headline-occlusion"), ("audit", "audit-occlusion")])
def test_the_study_and_its_earlier_form_share_no_run(study, earlier):
    new, old = ({run.run_id for run in Study.load(name).plan("quick", CIFAR)} for name in (study, earlier))
    assert not new & old
    pinned = {run.spec.evaluation.types[0] for run in Study.load(earlier).plan("quick", CIFAR)}
    assert pinned == {"fragments+noise"}


@pytest.mark.parametrize("value", [None, 3, ["a"]])
def test_a_part_that_is_none_is_refused_by_name(value):
    study = Study.parse({"name": "own", "title": "t", "question": "q", "variants": {"a": {"clutter": value}}})
    with pytest.raises(SpecError, match="clutter"):
        study.plan("smoke", SHAPES)


def test_more_seeds_keep_the_runs_of_fewer():
    study = Study.load("headline")
    one, two = (study.plan("quick", CIFAR, seeds) for seeds in (1, 2))
    assert two[:4] == one
    assert {run.spec.seed for run in two} == {0, 1}


def test_other_images_make_other_runs():
    study = Study.load("headline")
    ids = [run.run_id for images in (CIFAR, SHAPES) for run in study.plan("smoke", images)]
    assert len(set(ids)) == 8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Study.load("hedline"), "study must be one of headline.* but got 'hedline'. Did you mean 'headline'"),
        (lambda: Preset.load("quik"), "preset must be one of smoke, quick.* but got 'quik'. Did you mean 'quick'"),
        (
            lambda: Study.load("headline").plan("quick", CIFAR, 0),
            "`seeds` is a count and must be a whole number from 1 to 1000, but got ",
        ),
        (
            lambda: Study.load("headline").plan("quick", CIFAR, "2"),
            "`seeds` is a count and must be a whole number from 1 to 1000, but got ",
        ),
        (
            lambda: Study.load("headline").plan("quick", CIFAR, 1001),
            "but got 1001. It is not a seed: 3 means .* 0, 1 and 2",
        ),
        (
            lambda: Study.load("headline").plan("quick", CIFAR, True),
            "`seeds` is a count and must be a whole number from 1 to 1000, but got ",
        ),
    ],
)
def test_unknown_names_and_counts_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
