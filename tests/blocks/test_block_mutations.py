"""Every block broken in one line: the test named beside the mutation must go red."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# what is broken: file, the line's part, what stands there instead, the test that must notice
MUTATIONS = {
    "se without its hidden non-linearity": (
        "blocks/base.py",
        "nn.Linear(channels, hidden, bias=bias), nn.ReLU(), last",
        "nn.Linear(channels, hidden, bias=bias), nn.Identity(), last",
        "blocks/test_block_algebra.py::test_se_equals_its_definition",
    ),
    "eca on the channels turned round": (
        "blocks/eca.py",
        "z = mean(x, (2, 3)).unsqueeze(1)",
        "z = mean(x, (2, 3)).flip(1).unsqueeze(1)",
        "blocks/test_block_algebra.py::test_eca_equals_its_definition",
    ),
    "channel with the maximum's summary twice": (
        "blocks/cbam.py",
        "summaries.append(mean(x, (2, 3)))",
        "summaries.append(x.amax((2, 3)))",
        "blocks/test_block_algebra.py::test_cbam_halves_use_the_pools_asked_for",
    ),
    "spatial with its summaries in the other order": (
        "blocks/cbam.py",
        "torch.cat(summaries, 1)",
        "torch.cat(summaries[::-1], 1)",
        "blocks/test_block_algebra.py::test_cbam_halves_use_the_pools_asked_for",
    ),
    "cbam in the other order": (
        "blocks/cbam.py",
        'halves if self.chosen.order == "channel-spatial" else halves[::-1]',
        'halves if self.chosen.order != "channel-spatial" else halves[::-1]',
        "blocks/test_block_algebra.py::test_cbam_applies_its_halves_in_the_order_asked_for",
    ),
    "bam without its residual": (
        "blocks/bam.py",
        '(x + x * maps["full"])',
        '(x * maps["full"])',
        "blocks/test_block_algebra.py::test_bam_equals_its_definition",
    ),
    "non_local with keys and values exchanged": (
        "blocks/non_local.py",
        "softmax_sum(self.theta(here), self.phi(there), self.g(there), self.scale)",
        "softmax_sum(self.theta(here), self.g(there), self.phi(there), self.scale)",
        "blocks/test_block_algebra.py::test_non_local_equals_its_definition_place_by_place",
    ),
    "non_local of one image with the halves of its queries exchanged": (
        "blocks/non_local_kernels.py",
        ".unflatten(2, (2, -1)).squeeze(1)",
        ".unflatten(2, (2, -1)).squeeze(1).flip(1)",
        "blocks/test_block_algebra.py::test_non_local_forward_is_the_map_applied_and_so_are_its_gradients",
    ),
    "non_local that concatenates, with one running sum only": (
        "blocks/non_local_kernels.py",
        "(a.unsqueeze(2) * of_v + of_bv)",
        "(a.unsqueeze(2) * of_v)",
        "blocks/test_block_algebra.py::test_non_local_forward_is_the_map_applied_and_so_are_its_gradients",
    ),
    "non_local that loses an odd last row": (
        "blocks/non_local.py",
        "nn.MaxPool2d(2, ceil_mode=True)",
        "nn.MaxPool2d(2)",
        "blocks/test_block_algebra.py::test_non_local_equals_its_definition_place_by_place",
    ),
    "non_local without comparing, with a sum in place of the mean": (
        "blocks/non_local_kernels.py",
        "value.mean(1, keepdim=True)",
        "value.sum(1, keepdim=True)",
        "blocks/test_block_algebra.py::test_uniform_non_local_collects_the_plain_mean",
    ),
    "global_context with a softmax over nothing": (
        "blocks/global_context.py",
        ".softmax(2)",
        ".softmax(1)",
        "blocks/test_block_algebra.py::test_global_context_equals_its_definition",
    ),
    "simam with the variance of the sample": (
        "blocks/simam.py",
        "variance = squared.mean((2, 3), keepdim=True)",
        "variance = x.var((2, 3), keepdim=True)",
        "blocks/test_block_algebra.py::test_simam_equals_its_definition",
    ),
    "simam that squares in float16": (
        "blocks/simam.py",
        "wide = widened(x)",
        "wide = x",
        "blocks/test_half_precision.py::test_simam_squares_no_float16",
    ),
    "coordinate with rows and columns exchanged": (
        "blocks/coordinate.py",
        "in_float32(self.row, rows)",
        "in_float32(self.column, rows)",
        "blocks/test_block_algebra.py::test_coordinate_attention_equals_its_definition",
    ),
    "gather_excite that counts the zeros beyond the border": (
        "blocks/gather_excite.py",
        "count_include_pad=False",
        "count_include_pad=True",
        "blocks/test_block_algebra.py::test_gather_excite_with_means_equals_its_definition",
    ),
    "ela without its norm": (
        "blocks/strips.py",
        "return nn.Sequential(conv, norm)",
        "return nn.Sequential(conv, nn.Identity())",
        "blocks/test_block_algebra.py::test_ela_equals_its_definition",
    ),
    "strip that multiplies rows and columns": (
        "blocks/strips.py",
        "sigmoid_gate(rows + columns,",
        "sigmoid_gate(rows * columns,",
        "blocks/test_block_algebra.py::test_strips_equal_their_definition",
    ),
    "ema whose branches weigh themselves": (
        "blocks/ema.py",
        "_weighed(b, a) + _weighed(a, b)",
        "_weighed(a, a) + _weighed(b, b)",
        "blocks/test_block_algebra.py::test_ema_equals_its_definition",
    ),
    "scsa whose channels read the features before the first gate": (
        "blocks/scsa.py",
        "self._of_channels(widened(x) * widened(full), x)",
        "self._of_channels(widened(x), x)",
        "blocks/test_block_algebra.py::test_scsa_equals_its_definition",
    ),
    "lka with a sigmoid": (
        "blocks/lka.py",
        '{"full": in_float32(self.gate, x)}',
        '{"full": in_float32(self.gate, x).sigmoid()}',
        "blocks/test_block_algebra.py::test_lka_equals_its_definition",
    ),
    "grn that divides by the largest norm": (
        "blocks/grn.py",
        "norms.mean(1, keepdim=True)",
        "norms.amax(1, keepdim=True)",
        "blocks/test_block_algebra.py::test_grn_equals_its_definition",
    ),
    "triplet with one axis summarised twice": (
        "blocks/triplet.py",
        "self._gate(self.over_columns, x, 3)",
        "self._gate(self.over_columns, x, 2)",
        "blocks/test_block_algebra.py::test_triplet_attention_equals_its_definition",
    ),
    "combinations side by side that are added, not averaged": (
        "blocks/combination.py",
        "(first + self.second(wide)) / 2",
        "(first + self.second(wide))",
        "blocks/test_block_algebra.py::test_a_combination_arranges_its_two_blocks_as_asked_for",
    ),
    "combinations in sequence whose second map is read before the first block": (
        "blocks/combination.py",
        "wide = self.first.apply_attention(wide, maps)",
        "self.first.apply_attention(wide, maps)",
        "blocks/test_block_contract.py::test_forward_equals_apply_attention_and_keeps_the_shape",
    ),
    "static_gate that starts away from zero": (
        "blocks/controls.py",
        "nn.Parameter(torch.zeros(1, channels, 1, 1))",
        "nn.Parameter(torch.full((1, channels, 1, 1), 1e-6))",
        "blocks/test_block_start.py::test_identity_at_the_start_is_exact",
    ),
    "static_spatial with rows and columns exchanged": (
        "blocks/controls.py",
        "F.interpolate(widened(self.logits), ",
        "F.interpolate(widened(self.logits).mT, ",
        "blocks/test_block_algebra.py::test_static_spatial_lays_its_grid_over_the_features",
    ),
    "random_gate that is not saved": (
        "blocks/controls.py",
        'self.register_buffer("gates", torch.rand(1, channels, 1, 1))',
        'self.register_buffer("gates", torch.rand(1, channels, 1, 1), persistent=False)',
        "blocks/test_block_algebra.py::test_random_gates_are_drawn_once_and_kept",
    ),
    "identity that lets half through": (
        "blocks/controls.py",
        "        return {}",
        '        return {"channel": x.new_full((x.shape[0], x.shape[1], 1, 1), 0.5)}',
        "blocks/test_block_contract.py::test_a_given_map_replaces_the_blocks_own",
    ),
    "the identity's gate without its factor": (
        "blocks/base.py",
        "2 * torch.sigmoid(logits) if",
        "torch.sigmoid(logits) if",
        "blocks/test_block_start.py::test_identity_at_the_start_is_exact",
    ),
    "inserted blocks that act twice in a Sequential": (
        "backbones/insert.py",
        "return type(module).forward is nn.Sequential.forward",
        "return False",
        "backbones/test_insert.py::test_each_block_acts_once_on_what_its_place_gives",
    ),
    "inserted blocks built for the last axis": (
        "backbones/insert.py",
        "maps[place].shape[1], **options",
        "maps[place].shape[3], **options",
        "backbones/test_insert.py::test_every_place_gets_a_block_of_its_channels",
    ),
}


@pytest.fixture
def copied(tmp_path):
    """The package and these tests in a folder of their own, where a mutation harms nothing."""
    for folder in ("attn_tutorial", "tests/blocks", "tests/backbones"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def run_tests(folder, *tests):
    """From `folder`, which Python then searches first, so that its copy of the package is the one imported."""
    paths = [f"tests/{test}" for test in tests]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *paths]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.soak
def test_the_named_tests_pass_on_an_unbroken_copy(copied):
    result = run_tests(copied, *sorted({test for *_, test in MUTATIONS.values()}))
    assert result.returncode == 0, result.stdout


@pytest.mark.soak
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_broken_block_turns_its_test_red(mutation, copied):
    file, before, after, test = MUTATIONS[mutation]
    path = copied / "attn_tutorial" / file
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))
    result = run_tests(copied, test)
    assert result.returncode == 1, result.stdout
    assert f"FAILED tests/{test}" in result.stdout


def test_every_block_is_broken_once():
    from attn_tutorial.blocks import BLOCK_NAMES

    broken = {mutation.split()[0] for mutation in MUTATIONS}
    assert {name for name in BLOCK_NAMES if "+" not in name} <= broken
