import pytest

from attn_tutorial.spec import Images, SpecError
from attn_tutorial.study import Study
from attn_tutorial.study.grid import Grid

IMAGES = Images(name="shapes", source="shapes", fingerprint="b" * 64, archive_sha256=None)


def variants(**grid):
    return Grid.parse({"name": "{reduction}", **grid}).variants()


def test_a_product_meets_every_value_of_every_axis():
    made = variants(
        name="{block} {reduction} {stages}",
        fixed={"block": "se"},
        product={"block_options.reduction": [4, 8], "stages": [[1], [2, 3]]},
    )
    assert made == {
        f"se {reduction} {word}": {"block": "se", "block_options": {"reduction": reduction}, "stages": stages}
        for reduction in (4, 8)
        for stages, word in (([1], "1"), ([2, 3], "2+3"))
    }


def test_zipped_axes_go_together_and_meet_the_product():
    made = variants(
        name="{block} {lr} {momentum}",
        zip={"training.lr": [0.1, 0.2], "training.momentum": [0.8, 0.9]},
        product={"block": [None, "se"]},
    )
    assert list(made) == ["baseline 0.1 0.8", "baseline 0.2 0.9", "se 0.1 0.8", "se 0.2 0.9"]
    assert made["se 0.2 0.9"] == {"block": "se", "training": {"lr": 0.2, "momentum": 0.9}}


def test_an_axis_may_hold_for_some_values_of_another_only():
    made = variants(
        name="{block} {at_start} {length}×",
        product={"block": [None, "se"], "block_options.at_start": ["half", "identity"], "length": [1, 3]},
        only={"block_options.at_start": {"block": "se"}},
    )
    assert list(made) == [
        "baseline 1×", "baseline 3×", "se half 1×", "se half 3×", "se identity 1×", "se identity 3×",
    ]  # fmt: skip
    assert made["baseline 3×"] == {"block": None, "length": 3}


def test_a_label_stands_in_the_name_alone():
    made = variants(name="{label}", zip={"label": ["clean", "cluttered"], "clutter.severities": [[0], [0, 1]]})
    assert made == {"clean": {"clutter": {"severities": [0]}}, "cluttered": {"clutter": {"severities": [0, 1]}}}


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({}, "has no axes: give some under product or zip"),
        ({"product": {"block": []}}, "axis 'block' .* has no values: an empty grid has no runs"),
        ({"zip": {"a": [1], "b": [1, 2]}}, "need as many values each; given were a: 1, b: 2"),
        ({"product": {"block": ["se"]}, "zip": {"block": ["se"]}}, "block of grid .* is given twice"),
        ({"product": {"block": ["se"]}, "fixed": {"block": "eca"}}, "block of grid .* is given twice"),
        ({"product": {"block": ["se"]}, "only": {"length": {"block": "se"}}}, "only: length is no axis .* allowed are"),
        (
            {"name": "{kernal}", "product": {"block_options.kernel": [3]}},
            r"cannot be filled in .*allowed are \{kernel\}",
        ),
        ({"name": "{", "product": {"length": [3]}}, "cannot be filled in"),
        ({"name": "se", "product": {"length": [1, 3]}}, r"calls two variants 'se': name every axis .*'\{length\}'"),
        ({"product": {"length": 3}}, "product.length: 3 was given; input should be a valid list"),
        ({"product": {"block": ["se"], "block.reduction": [2]}}, "'block' and block.reduction .* are one field"),
        (
            {
                "name": "{block} {length}",
                "product": {"block": ["se"], "length": [1]},
                "only": {"length": {"blok": "se"}},
            },
            "only: blok is no field of grid .* allowed are block, length",
        ),
        ({"produkt": {}}, "produkt: unknown name; allowed here are name, fixed, product, zip, only"),
    ],
)
def test_axes_that_make_no_grid_are_refused(grid, message):
    with pytest.raises(SpecError, match=message):
        variants(**grid)


def write(tmp_path, text, name="mine.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


HEAD = "title: t\nquestion: q\n"


def test_a_study_may_be_a_file_of_ones_own(tmp_path):
    path = write(tmp_path, HEAD + "variants: {baseline: {}}\ngrids:\n- name: r {reduction}\n  fixed: {block: se}\n"
                 "  product: {block_options.reduction: [4, 8]}\n")  # fmt: skip
    study = Study.load(path)
    assert study.name == "mine"
    assert [run.variant for run in study.plan("smoke", IMAGES)] == ["baseline", "r 4", "r 8"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: [", r"mine.yaml, line 1, column 9: .*expected.*mend it there"),
        ("title: t\nquestion: a: b\n", r"mine.yaml, line 2, column 12: mapping values are not allowed here"),
        (HEAD + "variants:\n  a: {}\n  a: {block: se}\n", r"mine.yaml, line 5, column 3: 'a' is given twice"),
        ("- a\n", "names with values are due .* but it holds list"),
        ("", "but it is empty"),
        ("name: x\n" + HEAD, "a study is called as its file is: leave it out"),
        (HEAD + "variants: {? [a] : {}}\n", "mine.yaml, line 3, column 14: a name must be one word"),
        (HEAD, "neither variants nor grids were given"),
        (HEAD + "variants: {}\n", "neither variants nor grids were given"),
        (HEAD + "variant: {a: {}}\n", r"mine.yaml: (?s:.*)variant: unknown name; allowed here are .*variants"),
        (HEAD + "variants: {a: {}}\ncontrols: [b]\n", "controls: b is no variant; allowed are a"),
        (HEAD + "variants: {a: {}}\ngrids: [{name: a, product: {length: [2]}}]\n", "two variants are called 'a'"),
        (HEAD + "grids: [{name: a, product: {length: []}}]\n", "has no values"),
        ("title: 2024-13-45\n", "mine.yaml is no YAML: month must be in 1..12"),
        ("title: !!bool maybe\n", "mine.yaml is no YAML: 'maybe'"),
        ("title: !!int ''\n", "mine.yaml is no YAML"),
        ("title: !!timestamp soon\n", "mine.yaml is no YAML"),
        (HEAD + "variants: {a: {seed: 5}}\n", "a: seed was given; seeds are counted for the whole study"),
        (HEAD + "fixed: {seed: 5}\nvariants: {a: {}}\n", "fixed: seed was given"),
        (HEAD + "grids: [{name: '{name}', product: {data.name: [shapes]}}]\n", "shapes: data.name was given; all var"),
        (HEAD + "seeds: many\nvariants: {a: {}}\n", "seeds: 'many' was given; allowed is a count of at least 1"),
        (HEAD + "seeds: {a: 0}\nvariants: {a: {}}\n", "seeds: {'a': 0} was given; allowed is a count of at least 1"),
    ],
)
def test_a_file_that_is_no_study_is_refused_and_the_place_named(tmp_path, text, message):
    with pytest.raises(SpecError, match=message):
        Study.load(write(tmp_path, text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{blok: se}", "study 'mine', variant 'a': (?s:.*)blok: unknown name; allowed here are data, .*block"),
        ("{block: sse}", "variant 'a': (?s:.*)block must be one of .* but got 'sse'. Did you mean 'se'"),
        ("{block: se, block_options: {gate: sigmod}}", "variant 'a': (?s:.*)gate='sigmod' is not allowed"),
        ("{training: {lr: 1e-2}}", "variant 'a': (?s:.*)in YAML write 0.001 or 1.0e-3"),
        ("{widened: {to: se, by: parameters}}", r"widened .*'se'.* allowed .* is \{to: cbam, by: parameters\} or"),
    ],
)
def test_an_unknown_axis_or_value_is_refused_and_the_variant_named(tmp_path, change, message):
    study = Study.load(write(tmp_path, HEAD + f"variants: {{a: {change}}}\n"))
    with pytest.raises(SpecError, match=message):
        study.plan("smoke", IMAGES)


def test_two_variants_that_are_one_run_are_refused(tmp_path):
    study = Study.load(write(tmp_path, HEAD + "variants: {a: {block: se}, b: {block: se, stages: [1, 2, 3]}}\n"))
    with pytest.raises(SpecError, match="variants 'a' and 'b' are one and the same run"):
        study.plan("smoke", IMAGES)


def test_a_study_of_ones_own_is_not_called_as_one_of_the_package(tmp_path):
    with pytest.raises(SpecError, match=r"'headline' is a study of the package: .* Rename the file"):
        Study.load(write(tmp_path, HEAD, "headline.yaml"))


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(SpecError, match=r"cannot be read .*No such file"):
        Study.load(str(tmp_path / "none.yaml"))
