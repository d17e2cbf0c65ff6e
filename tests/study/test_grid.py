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
        ({}, "must have axes. Give some under product or zip"),
        ({"product": {"block": []}}, "axis 'block' .* must have values, because an empty grid has no runs"),
        ({"zip": {"a": [1], "b": [1, 2]}}, "must have equally many values, .* were given: a: 1, b: 2"),
        (
            {"product": {"block": ["se"]}, "zip": {"block": ["se"]}},
            "block of grid .* must be given once, but is given twice",
        ),
        (
            {"product": {"block": ["se"]}, "fixed": {"block": "eca"}},
            "block of grid .* must be given once, but is given twice",
        ),
        (
            {"product": {"block": ["se"]}, "only": {"length": {"block": "se"}}},
            r"only: must name axes .* \(block\), but got length",
        ),
        (
            {"name": "{kernal}", "product": {"block_options.kernel": [3]}},
            r"must be a template of \{kernel\}, but '\{kernal\}' cannot be filled in",
        ),
        ({"name": "{", "product": {"length": [3]}}, "cannot be filled in"),
        ({"name": "se", "product": {"length": [1, 3]}}, r"calls two variants 'se'. Name every axis .*'\{length\}'"),
        ({"product": {"length": 3}}, "product.length: must be a valid list, but got 3"),
        ({"product": {"block": ["se"], "block.reduction": [2]}}, "'block' and block.reduction .* are the same field"),
        (
            {
                "name": "{block} {length}",
                "product": {"block": ["se"], "length": [1]},
                "only": {"length": {"blok": "se"}},
            },
            r"only: its conditions must name fields of grid .* \(block, length\), but got blok",
        ),
        ({"produkt": {}}, "produkt: unknown name; it must be one of name, fixed, product, zip, only"),
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
        ("title: [", r"mine.yaml, line 1, column 9: .*expected.*Correct it there"),
        ("title: t\nquestion: a: b\n", r"mine.yaml, line 2, column 12: mapping values are not allowed here"),
        (HEAD + "variants:\n  a: {}\n  a: {block: se}\n", r"mine.yaml, line 5, column 3: 'a' is given twice"),
        ("- a\n", "must contain names with values .* but it contains a value of type list"),
        ("", "but it is empty"),
        ("name: x\n" + HEAD, "name must be left out, because a study has the name of its file"),
        (HEAD + "variants: {? [a] : {}}\n", "mine.yaml, line 3, column 14: a name must be a word or a text"),
        (HEAD, "variants: must be given, or grids that make some"),
        (HEAD + "variants: {}\n", "variants: must be given, or grids that make some"),
        (
            HEAD + "variant: {a: {}}\n",
            r"mine.yaml: (?s:.*)variant: unknown name; it must be one of .*variants",
        ),
        (HEAD + "variants: {a: {}}\ncontrols: [b]\n", r"controls: must be variants of this study \(a\), but got b"),
        (
            HEAD + "variants: {a: {}}\ngrids: [{name: a, product: {length: [2]}}]\n",
            "variants: must have different names, but two are called 'a'",
        ),
        (HEAD + "grids: [{name: a, product: {length: []}}]\n", "must have values"),
        ("title: 2024-13-45\n", "mine.yaml is not valid YAML: month must be in 1..12"),
        ("title: !!bool maybe\n", "mine.yaml is not valid YAML: 'maybe'"),
        ("title: !!int ''\n", "mine.yaml is not valid YAML"),
        ("title: !!timestamp soon\n", "mine.yaml is not valid YAML"),
        (HEAD + "variants: {a: {seed: 5}}\n", "a: must not set seed; give a count for the whole study"),
        (HEAD + "fixed: {seed: 5}\nvariants: {a: {}}\n", "fixed: must not set seed"),
        (
            HEAD + "grids: [{name: '{name}', product: {data.name: [shapes]}}]\n",
            "shapes: must not set data.name; all var",
        ),
        (HEAD + "seeds: many\nvariants: {a: {}}\n", "seeds: must be a whole number .* got 'many'"),
        (HEAD + "seeds: {a: 0}\nvariants: {a: {}}\n", "seeds: must be a whole number .* got {'a': 0}"),
    ],
)
def test_a_file_that_is_no_study_is_refused_and_the_place_named(tmp_path, text, message):
    with pytest.raises(SpecError, match=message):
        Study.load(write(tmp_path, text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "{blok: se}",
            "study 'mine', variant 'a': (?s:.*)blok: unknown name; it must be one of data, .*block",
        ),
        ("{block: sse}", "variant 'a': (?s:.*)block must be one of .* but got 'sse'. Did you mean 'se'"),
        ("{block: se, block_options: {gate: sigmod}}", "variant 'a': (?s:.*)gate must be .* but got 'sigmod'"),
        ("{training: {lr: 1e-2}}", "variant 'a': (?s:.*)in YAML write 0.001 or 1.0e-3"),
        ("{widened: {to: se, by: parameters}}", r"widened must be \{to: cbam, by: parameters\} or .* got .*'se'"),
    ],
)
def test_an_unknown_axis_or_value_is_refused_and_the_variant_named(tmp_path, change, message):
    study = Study.load(write(tmp_path, HEAD + f"variants: {{a: {change}}}\n"))
    with pytest.raises(SpecError, match=message):
        study.plan("smoke", IMAGES)


def test_two_variants_that_are_one_run_are_refused(tmp_path):
    study = Study.load(write(tmp_path, HEAD + "variants: {a: {block: se}, b: {block: se, stages: [1, 2, 3]}}\n"))
    with pytest.raises(SpecError, match="variants must differ, but 'a' and 'b' are the same run"):
        study.plan("smoke", IMAGES)


def test_a_study_of_ones_own_is_not_called_as_one_of_the_package(tmp_path):
    with pytest.raises(
        SpecError, match=r"differs from the package's studies, but got .*headline.yaml.* Rename the file"
    ):
        Study.load(write(tmp_path, HEAD, "headline.yaml"))


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(SpecError, match=r"must be a readable YAML file, but .*none.yaml cannot be read .*No such file"):
        Study.load(str(tmp_path / "none.yaml"))
