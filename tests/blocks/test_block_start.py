"""What a block does before it is trained, and which of its parameters learn from the first step."""

import pytest
import torch

from attn_tutorial.blocks import BLOCK_OPTIONS, build_block

GATES = [name for name, model in BLOCK_OPTIONS.items() if "at_start" in model.model_fields]
NEEDED = {"gather_excite": {"reduction": 16}}  # has no parameters otherwise
IDENTITIES = [(name, {"at_start": "identity", **NEEDED.get(name, {})}) for name in GATES] + [
    ("spatial", {"at_start": "identity", "norm": False}),
    ("channel", {"at_start": "identity", "bias": True}),
    ("cbam", {"at_start": "identity", "order": "parallel"}),
    ("non_local", {}),
    ("non_local", {"pairwise": "dot"}),
    ("non_local", {"pairwise": "concat", "sub_sample": True}),
    ("non_local", {"pairwise": "uniform"}),
    ("static_spatial", {"at_start": "identity", "cells": 4}),
    ("global_context", {"fusion": "scale"}),
    ("global_context", {"pool": "avg"}),
    ("gather_excite", {"at_start": "identity", "extent": 4, "gather": "conv"}),
    ("gather_excite", {"at_start": "identity", "extent": 2, "gather": "conv", "reduction": 8}),
    ("ela", {"at_start": "identity", "shared": False}),
    ("lka", {"at_start": "identity", "kernel": 9, "dilation": 2}),
    ("grn", {}),
    ("se+spatial", {"at_start": "identity", "arrangement": "parallel"}),
    ("cbam+non_local", {"at_start": "identity", "arrangement": "parallel"}),
]


def features():
    torch.manual_seed(0)
    return torch.randn(8, 64, 6, 5)


def test_all_gates_have_the_choice():
    combinations = {"se+spatial", "se+non_local", "cbam+non_local"}
    gates = {"se", "eca", "channel", "spatial", "cbam", "coordinate", "triplet", "global_context"}
    gates |= {"gather_excite", "ela", "strip", "ema", "scsa", "lka"}
    assert set(GATES) == gates | combinations | {"static_gate", "static_spatial"}


@pytest.mark.parametrize(("name", "options"), IDENTITIES, ids=str)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_identity_at_the_start_is_exact(name, options, training):
    x = features()
    assert torch.equal(build_block(name, 64, **options).train(training)(x), x)


@pytest.mark.parametrize(("name", "options"), IDENTITIES, ids=str)
def test_an_identity_can_leave_its_start(name, options):
    """One step of gradient descent moves the output, so that the training leaves the zeros."""
    x = features()
    block = build_block(name, 64, **options)
    optimiser = torch.optim.SGD(block.parameters(), lr=1.0)
    target = torch.randn_like(x)
    ((block(x) - target) ** 2).mean().backward()
    optimiser.step()
    assert (block(x) - x).abs().max() > 1e-5


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("se", {}, 0.5),
        ("eca", {}, 0.5),
        ("channel", {}, 0.5),
        ("static_gate", {}, 0.5),
        ("static_spatial", {}, 0.5),
        ("global_context", {"fusion": "scale", "at_start": "half"}, 0.5),
        ("cbam", {}, 0.29),
        ("coordinate", {}, 0.26),
        ("triplet", {}, 0.51),
        ("simam", {}, 0.76),
        ("bam", {}, 1.51),
        ("random_gate", {}, 0.58),
        ("gather_excite", {}, 0.5),
        ("gather_excite", {"extent": 2}, 0.5),
        ("ela", {}, 0.3),
        ("strip", {}, 0.5),
        ("ema", {}, 0.52),
        ("scsa", {}, 0.18),
        ("lka", {}, 0.1),
    ],
    ids=str,
)
def test_a_plain_gate_damps_the_signal(name, options, expected):
    """Standard deviation of the output over that of the input, the mean of 20 starts."""
    x = features()
    ratios = [(build_block(name, 64, **options)(x).std() / x.std()).item() for _ in range(20)]
    assert abs(sum(ratios) / len(ratios) - expected) < 0.03


def test_non_local_without_zero_init_is_no_identity():
    x = features()
    assert (build_block("non_local", 64, zero_init=False)(x) - x).std() > 0.5


@pytest.mark.parametrize(
    ("name", "options", "learning"),
    [
        ("se", {"at_start": "identity"}, ["mlp.2.weight", "mlp.2.bias"]),
        ("se", {}, ["mlp.0.weight", "mlp.0.bias", "mlp.2.weight", "mlp.2.bias"]),
        ("spatial", {"at_start": "identity"}, ["norm.weight", "norm.bias"]),
        ("non_local", {}, ["norm.weight", "norm.bias"]),
        ("eca", {"at_start": "identity"}, ["conv.weight"]),
        ("global_context", {}, ["transform.3.weight", "transform.3.bias"]),
        (
            "coordinate",
            {"at_start": "identity"},
            ["row.weight", "row.bias", "column.weight", "column.bias"],
        ),
        (
            "triplet",
            {"at_start": "identity"},
            [f"over_{axis}.1.{part}" for axis in ("channels", "rows", "columns") for part in ("weight", "bias")],
        ),
        ("non_local", {"pairwise": "uniform"}, ["norm.weight", "norm.bias"]),
        ("gather_excite", {"reduction": 16, "at_start": "identity"}, ["mlp.2.weight", "mlp.2.bias"]),
        (
            "gather_excite",
            {"extent": 2, "gather": "conv", "at_start": "identity"},
            ["gather.1.weight", "gather.1.bias"],
        ),
        ("ela", {"at_start": "identity"}, ["rows.1.weight", "rows.1.bias"]),
        ("strip", {"at_start": "identity"}, ["rows.weight", "columns.weight"]),
        ("ema", {"at_start": "identity"}, ["norm.weight", "norm.bias", "conv.weight", "conv.bias"]),
        (
            "scsa",
            {"at_start": "identity"},
            ["norm_rows.weight", "norm_rows.bias", "norm_columns.weight", "norm_columns.bias", "v.weight"],
        ),
        ("lka", {"at_start": "identity"}, ["gate.2.weight", "gate.2.bias"]),
        ("grn", {}, ["gamma", "beta"]),
        ("static_gate", {"at_start": "identity"}, ["logits"]),
        ("static_spatial", {"at_start": "identity"}, ["logits"]),
    ],
    ids=str,
)
def test_which_parameters_get_a_gradient_at_first(name, options, learning):
    x = features()
    torch.manual_seed(3)
    block = build_block(name, 64, **options)
    (block(x) * torch.randn_like(x)).sum().backward()
    moved = {key for key, parameter in block.named_parameters() if parameter.grad.abs().max() > 1e-6}
    assert moved == set(learning)
