"""Each reproduction on the page of copies shows its fault, and the right form does not."""

import re
import warnings
from pathlib import Path

import nbformat
import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from attn_tutorial.blocks import BLOCK_NAMES, build_block
from attn_tutorial.pages import ParameterError
from attn_tutorial.pages.copies import COPIES, kind_table, measured_table
from attn_tutorial.pages.copies.channels import RoundedSE
from attn_tutorial.pages.copies.copy import features, fixed_weights, outcome, seeded, weights
from attn_tutorial.pages.copies.show import copies_of, describe
from attn_tutorial.pages.copies.strips import ELA_FORMS, SwishELA, ela_parameters

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "which_copies_disagree.ipynb"
BY_KEY = {copy.key: copy for copy in COPIES}


def error(kind, text):
    return lambda found: found.startswith(kind) and text in found


def works(found):
    return found == "works"


def more(least):
    return lambda found: found > least


def less(most):
    return lambda found: found < most


# For each row its measurements in order: what is true of the reproduction, and of the right form. A plain value is
# compared.
EXPECTED = {
    "se-empty": [(0, 4), (0, more(1e-4)), ("–", error("ValueError", "width 0"))],
    "se-rounded": [(8, 2), (8, 4), (2 * 64 * 8 + 64 + 8, 2 * 64 * 4 + 64 + 4)],
    "eca-fixed": [(3, 3), (3, 5), (3, 5), (3, 5)],
    "ge-starred": [(error("TypeError", "multiple values for argument 'act'"), works), (works, works)],
    "ge-resized": [(works, works), (error("RuntimeError", "must match the size"), works)],
    "gc-biased": [(more(0.1), 0)],
    "gc-unnormalised": [(lambda total: abs(total - 1) > 0.5, pytest.approx(1)), (less(0), more(0))],
    "grn-batch": [(more(0.05), 0)],
    "grn-last": [(error("RuntimeError", "must match the size"), works), (more(0.05), 0)],
    "cbam-wide": [(2 * 49**2 + 1, 2 * 7**2 + 2), (pytest.approx((27 / 49) ** 2), 1), (more(1), less(0.4))],
    "cbam-mean": [(0, more(0.05)), (64 * 64 + 64, 2 * 64 * 4)],
    "cbam-twice": [(0, more(0.05)), (0.5, 0)],
    "cbam-linear": [(less(0), more(0)), (more(0), 0)],
    "spatial-map": [("2 × 1 × 8 × 8", "2 × 64 × 8 × 8"), ("2 × 64 × 8 × 8", "2 × 64 × 8 × 8"), (0, more(0.1))],
    "bam-undefined": [(error("NameError", "gate_activation"), works)],
    "bam-square": [
        (pytest.approx(1 / 3), 0),
        (error("RuntimeError", "cannot be multiplied"), works),
        (error("RuntimeError", "Output size is too small"), works),
    ],
    "bam-product": [(more(0.9), less(0.1)), (0.5, more(0.9))],
    "bam-shrinking": [(1, more(40)), (error("RuntimeError", "expanded size"), works)],
    "triplet-rectified": [(0.5, less(0.4)), (more(0.2), 0)],
    "simam-sample": [(1, 0)],
    "coordinate-linear": [(more(0.2), 0), (less(0), more(0)), (more(1), less(1))],
    "ela-swish": [(pytest.approx(0.4309**2, abs=1e-3), 0), (more(0.185), less(0.1))],
    "ela-twice": [(0, more(0.02)), (error("RuntimeError", "must match the size"), works)],
    "non-local-unturned": [
        (error("RuntimeError", "Expected size for first two dimensions of batch2 tensor"), works),
        (works, works),
        (more(1e-3), less(1e-5)),
    ],
    "non-local-scale": [(more(0), more(0)), (more(0), more(0))],
    "ema-blind": [(0, more(0.01)), (pytest.approx(1 / 8), more(0.15))],
    "scsa-loose": [
        (error("ValueError", "too many values"), error("ValueError", "must be a multiple of 4")),
        (error("RuntimeError", "Output size is too small"), works),
    ],
    "lka-pointwise": [(8, 11), (more(0.1), 0)],
    "psa-writing": [(1, 0), (error("RuntimeError", "modified by an inplace operation"), works)],
    "psa-flat": [(more(0.5), less(0.49)), (less(0.51), more(0.52)), (less(0.001), more(0.005))],
}


def holds(expected, found):
    return expected(found) if callable(expected) else found == expected


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("key", BY_KEY)
def test_the_reproduction_has_the_fault_and_the_right_form_does_not(key, seed):
    with seeded(seed):
        measures = BY_KEY[key].measure()
    assert len(measures) == len(EXPECTED[key])
    for measure, (copy, right) in zip(measures, EXPECTED[key], strict=True):
        assert holds(copy, measure.copy), f"the copy: {measure}"
        assert holds(right, measure.right), f"the right form: {measure}"


def test_dividing_by_the_channels_makes_scores_smaller_by_the_root_of_eight():
    score, weight = BY_KEY["non-local-scale"].measure()
    assert score.right / score.copy == pytest.approx(8**0.5)
    assert weight.copy < weight.right


# What the line under "See it" gives: the fault itself.
LINES = {
    "se-empty": 0,
    "se-rounded": 8,
    "eca-fixed": (3,),
    "ge-starred": error("TypeError", "multiple values"),
    "ge-resized": error("RuntimeError", "must match"),
    "gc-biased": more(0.1),
    "gc-unnormalised": lambda sums: (sums - 1).abs().max() > 0.1,
    "grn-batch": (1, 64, 1, 1),
    "grn-last": error("RuntimeError", "must match"),
    "cbam-wide": (49, 49),
    "cbam-mean": 4160,
    "cbam-twice": error("RuntimeError", "not have been used"),
    "cbam-linear": less(0),
    "spatial-map": False,
    "bam-undefined": error("NameError", "gate_activation"),
    "bam-square": error("RuntimeError", "multiplied"),
    "bam-product": more(0.9),
    "bam-shrinking": error("RuntimeError", "expanded size"),
    "triplet-rectified": 0.5,
    "simam-sample": True,
    "coordinate-linear": more(0.2),
    "ela-swish": more(0.185),
    "ela-twice": (2, 64, 8, 1),
    "non-local-unturned": error("RuntimeError", "batch2 tensor"),
    "non-local-scale": pytest.approx(8**-0.5),
    "ema-blind": less(1e-6),
    "scsa-loose": error("ValueError", "too many values"),
    "lka-pointwise": [(1, 1), (5, 5), (5, 5)],
    "psa-writing": False,
    "psa-flat": less(0.002),
}


@pytest.mark.parametrize("key", BY_KEY)
def test_the_line_shows_the_fault(key):
    copy = BY_KEY[key]
    names = {part.__name__: part for part in copy.code} | {"torch": torch, "F": F}
    with fixed_weights():
        found = None

        def run():
            nonlocal found
            found = eval(copy.one_line, {**names, "x": features()})

        message = outcome(run)
    assert holds(LINES[key], message if message != "works" else found), (message, found)


def test_every_row_is_complete_and_names_known_blocks():
    assert len(BY_KEY) == len(COPIES)
    assert {copy.block for copy in COPIES} - {"psa"} <= set(BLOCK_NAMES)
    for copy in COPIES:
        assert all([copy.wrong, copy.one_line, copy.right, copy.code])
        assert all(
            path and (re.fullmatch(r"[\w.-]+/[\w.-]+", repository) or not repository) for repository, path in copy.where
        )
        assert copy.right in describe(copy)
        for name, options in re.findall(r'build_block\("(\w+)", ([^)]*)\)', copy.right):
            assert eval(f"build_block({name!r}, {options})", {"build_block": build_block})
    assert kind_table()["copies"].sum() == len(COPIES)


def test_our_ema_follows_the_authors_code():
    block = build_block("ema", 64).eval()
    a = block.norm(torch.randn(16, 8, 6, 6))
    assert a.mean((2, 3)).abs().max() < 1e-6


@pytest.mark.parametrize(("name", "kernel", "mixed", "groups", "convolutions"), ELA_FORMS)
def test_the_forms_of_ela_have_the_parameters_that_the_table_says(name, kernel, mixed, groups, convolutions):
    if name != "timm":
        block = build_block("ela", 64, kernel=kernel, mixed=mixed, norm_groups=groups)
    else:
        block = timm.layers.coord_attn.EfficientLocalAttn(64)
        assert isinstance(block.act, nn.SiLU)
        assert block.norm_h.num_groups == groups
    assert weights(block) == ela_parameters(kernel, mixed, convolutions)


def test_timm_rounds_hidden_units():
    for channels in (32, 64, 128, 256):
        ours, theirs = RoundedSE(channels), timm.layers.SEModule(channels)
        assert ours.layers[0].out_features == theirs.fc1.out_channels


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "multiple values for argument 'act_layer'"),
        ({"extra_params": True, "extent": 2, "use_mlp": False}, "multiple values for argument 'kernel_size'"),
        ({"use_mlp": False}, None),
    ],
)
def test_timm_gather_excite_builds_in_one_form_only(options, message):
    if message is None:
        assert timm.layers.GatherExcite(64, **options)
        return
    with pytest.raises(TypeError, match=message):
        timm.layers.GatherExcite(64, **options)


def test_timm_global_context_does_not_start_as_the_identity():
    block = timm.layers.GlobalContext(64, fuse_add=True, fuse_scale=False, init_last_zero=True)
    x = features()
    assert (block(x) - x).abs().max() > 0.1
    nn.init.zeros_(block.mlp_add.fc2.bias)
    assert torch.equal(block(x), x)


def test_timm_non_local_divides_by_the_root_of_the_channels():
    block = timm.layers.NonLocalAttn(64)
    assert (block.scale, block.t.out_channels) == (64**-0.5, 8)


def test_timm_ela_has_a_silu_before_its_sigmoid():
    theirs, ours = timm.layers.coord_attn.EfficientLocalAttn(64), SwishELA(64)
    with torch.no_grad():
        for mine, conv, norm in (
            (ours.rows, theirs.conv_h, theirs.norm_h),
            (ours.columns, theirs.conv_w, theirs.norm_w),
        ):
            mine[0].weight.copy_(conv.weight.flatten(2))
            mine[1].load_state_dict(norm.state_dict())
    x = features()
    assert torch.allclose(x * ours.gate(x), theirs(x), atol=1e-6)


def test_timm_grn_expects_channels_last_by_default():
    with pytest.raises(RuntimeError):
        timm.layers.grn.GlobalResponseNorm(64)(features())
    assert timm.layers.grn.GlobalResponseNorm(64, channels_last=False)(features()).shape == features().shape


@pytest.fixture
def run(monkeypatch):
    """Runs the page's cells; returns what it says, and the tables that it shows, by caption."""
    said, tables = [], {}

    def show_table(frame, caption):
        assert len(frame) <= 12, f"a long table is folded: {caption}"
        assert caption not in tables, f"once a page: {caption}"
        tables[caption] = frame

    monkeypatch.setattr("attn_tutorial.pages.copies.show.show_table", show_table)
    monkeypatch.setattr("attn_tutorial.pages.copies.show.display", lambda markdown: said.append(markdown.data))

    def run(**given):
        namespace = {"__name__": "__main__"}
        for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, NOTEBOOK.name, "exec"), namespace)
            if "parameters" in cell.metadata.get("tags", []):
                namespace.update(given)
        return "\n".join(said), tables

    return run


def test_the_page_shows_every_copy_and_its_code(run, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said, tables = run()
    stops = sum(copy.kind == "It stops with an error, or gives NaN" for copy in COPIES)
    assert f"reproduced {len(COPIES)} differences from" in said
    assert f"{stops} of them show as an error or as NaN" in said
    for copy in COPIES:
        assert copy.wrong in said
        assert f"Measured on random features: copies of {copy.block}." in tables
        for part in copy.code:
            assert re.search(rf"(class|def) {part.__name__}\b", said)
    assert "type: ignore" not in said
    assert "noqa" not in said
    printed = capsys.readouterr().out
    good, bad = (re.search(r"factors from (\S+) to", part).group(1) for part in printed.split("keeps the shape")[1:])
    assert float(good) >= 0 > float(bad)


def test_the_measured_table_marks_each_row_with_its_copy(run):
    _, tables = run(seed=3)
    frame = tables["Measured on random features: copies of bam."]
    assert list(frame["no."].unique()) == [f"{number}" for number in range(1, len(copies_of("bam")) + 1)]
    assert not frame.equals(measured_table("cbam"))


def test_a_wrong_seed_stops_the_page(run):
    with pytest.raises(ParameterError, match="`seed` must be"):
        run(seed=-1)
