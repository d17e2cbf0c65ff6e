"""Names and options: what is allowed, and what the message for the rest says."""

import re
import subprocess
import sys

import pytest
import torch

from attn_tutorial.blocks import BLOCK_NAMES, BLOCK_OPTIONS, SE, build_block, check_block


def test_defaults_are_filled_in():
    assert check_block("channel", {"pools": "max"}) == {
        "reduction": 16,
        "pools": "max",
        "bias": False,
        "at_start": "half",
    }


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("non-local", {}, "static_gate.* but got 'non-local'.*Did you mean 'non_local'"),
        ("se", {"reductoin": 8}, "squeeze.*but got 'reductoin'. Did you mean 'reduction'"),
        ("se", {"reduction": "8"}, "reduction must be a valid integer, but got '8'"),
        ("se", {"reduction": 0}, "reduction must be greater than 0, but got 0"),
        ("se", {"gate": "softmax"}, "gate must be 'sigmoid', 'tanh' or 'relu', but got 'softmax'"),
        ("se", {"gate": "tanh", "at_start": "identity"}, "needs gate='sigmoid'.*'tanh'"),
        ("spatial", {"kernel": 4}, "kernel must be 3 or 7, but got 4"),
        ("spatial", {"norm": 1}, "norm must be a valid boolean, but got 1"),
        ("cbam", {"order": "channel"}, "order must be .*'parallel', but got 'channel'"),
        ("non_local", {"pairwise": "concatenate"}, "pairwise must be .*'concat' or 'uniform', but got 'concatenate'"),
        (
            "non_local",
            {"pairwise": "concat", "scale": "none"},
            "learns its own scale, but got scale='none': leave scale out",
        ),
        ("non_local", {"pairwise": "uniform", "scale": "none"}, "has no scores, but got scale='none': leave scale out"),
        ("static_spatial", {"cells": 0}, "cells must be greater than 0, but got 0"),
        ("eca", {"kernel": 4}, "'eca': kernel must be odd, or None .* but got 4"),
        ("eca", {"kernel": -1}, "kernel must be greater than 0, but got -1"),
        ("bam", {"combine": "mean"}, "combine must be 'sum', 'product' or 'max', but got 'mean'"),
        ("global_context", {"at_start": "half"}, "needs fusion='scale'.*'add'"),
        ("simam", {"lam": 0.0}, "lam must be greater than 0, but got 0.0"),
        ("gather_excite", {"extent": 3}, "extent must be 2, 4 or 8, but got 3"),
        ("gather_excite", {"gather": "conv"}, "gather='conv' needs an extent of 2, 4 or 8, but got extent=None"),
        ("gather_excite", {"at_start": "identity"}, "give gather='conv' or a reduction, but got gather='mean'"),
        ("ela", {"kernel": 4}, "'ela': kernel must be odd, but got 4"),
        ("ela", {"kernel": 0}, "kernel must be greater than 0, but got 0"),
        ("ela", {"shared": 1}, "shared must be a valid boolean, but got 1"),
        ("strip", {"kernel": 2}, "'strip': kernel must be odd, but got 2"),
        ("strip", {"conv": False, "at_start": "identity"}, "needs conv=True, .*but got conv=False"),
        ("ema", {"factor": 8}, "groups.* but got 'factor'"),
        ("ema", {"groups": 0}, "groups must be greater than 0, but got 0"),
        ("scsa", {"window": 0}, "window must be greater than 0, but got 0"),
        ("lka", {"kernel": 20, "dilation": 3, "at_start": "half"}, "at_start must be 'random' or 'identity'"),
        (
            "lka",
            {"kernel": 18},
            "must be odd, but got kernel=18 and dilation=3, which give 6: .*kernel=15 or kernel=21",
        ),
        ("grn", {"eps": 0.0}, "eps must be greater than 0, but got 0.0"),
        ("grn", {"eps": float("inf")}, "eps must be a finite number, but got inf"),
        ("grn", {"eps": 1e-60}, "eps must be at least 1e-30, so that float32 can add it, but got 1e-60"),
        ("simam", {"lam": float("inf")}, "lam must be a finite number, but got inf"),
        ("scsa", {"window": 10**20}, "window must be less than or equal to 1024"),
        ("triplet", {"kernel": 5}, "kernel must be 3 or 7, but got 5"),
        ("se+spatial", {"order": "parallel"}, "arrangement, .*but got 'order'"),
        ("se+nonlocal", {}, "Did you mean 'se\\+non_local'"),
        (
            "identity",
            {"at_start": "identity"},
            "'identity' must be left out, because there is none to choose from, but got 'at_start'",
        ),
    ],
)
def test_what_is_not_allowed_is_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        check_block(name, options)
    with pytest.raises(ValueError, match=message):
        build_block(name, 32, **options)


@pytest.mark.parametrize("model", BLOCK_OPTIONS.values(), ids=BLOCK_OPTIONS)
def test_an_options_model_refuses_unknown_names_and_changes(model):
    with pytest.raises(ValueError, match="reductoin"):
        model(reductoin=8)
    for option in model.model_fields:
        with pytest.raises(ValueError, match="frozen"):
            setattr(model(), option, None)


def test_a_class_checks_its_options_too():
    with pytest.raises(ValueError, match=r"at_start must be .* but got 'identiy'"):
        SE(32, at_start="identiy")


@pytest.mark.parametrize(
    ("name", "largest"),
    [(name, 8) for name in ("se", "channel", "cbam", "bam", "se+spatial", "se+non_local", "cbam+non_local")]
    + [("global_context", 4)],
)
def test_fewer_channels_than_the_reduction_is_an_error(name, largest):
    with pytest.raises(
        ValueError, match=rf"8 channels with reduction 16.*{re.escape(repr(name))}.*from 1 to {largest}"
    ):
        build_block(name, 8)
    with pytest.raises(ValueError, match=f"8 channels with reduction {largest + 1} "):
        build_block(name, 8, reduction=largest + 1)
    assert build_block(name, 8, reduction=largest)(torch.ones(2, 8, 3, 3)).shape == (2, 8, 3, 3)


@pytest.mark.parametrize(
    ("name", "channels", "options", "message"),
    [
        ("gather_excite", 8, {"reduction": 16}, "8 channels with reduction 16 .*'gather_excite'.*from 1 to 8"),
        ("ela", 12, {"norm_groups": 16}, "`norm_groups` of block 'ela' must divide .* but got 16 for 12 channels"),
        ("ela", 12, {"mixed": 8}, "`mixed` of block 'ela' must divide .* but got 8 for 12 channels"),
        ("ema", 8, {}, "'ema' must divide .* at least 2 in a group, but got 8 for 8 channels.*at most 4"),
        ("ema", 12, {"groups": 5}, "but got 5 for 12 channels"),
        ("ema", 1, {"groups": 1}, "'ema' needs at least 2 channels, but got 1"),
        ("scsa", 6, {"heads": 2}, "between four kinds of strips, .*a multiple of 4, but got 6"),
        ("scsa", 12, {}, "between 8 heads, .*a multiple of 8, but got 12"),
    ],
)
def test_channels_that_do_not_suit_the_groups_are_an_error(name, channels, options, message):
    with pytest.raises(ValueError, match=message):
        build_block(name, channels, **options)


@pytest.mark.parametrize("channels", [1, 3, 6, 17, 48])
def test_ela_builds_for_every_number_of_channels(channels):
    assert build_block("ela", channels)(torch.ones(1, channels, 1, 1)).shape == (1, channels, 1, 1)


@pytest.mark.parametrize("name", BLOCK_NAMES)
@pytest.mark.parametrize("method", ["forward", "attention"])
@pytest.mark.parametrize(
    "x",
    [torch.zeros(2, 32, 9), torch.zeros(2, 16, 3, 3), torch.zeros(2, 32, 3, 3, dtype=torch.long)],
    ids=["3-D", "16 channels", "integers"],
)
def test_what_is_no_feature_map_is_named(name, method, x):
    block = build_block(name, 32)
    allowed = rf"block {re.escape(repr(name))} takes floating-point features \(batch, 32 channels, height, width\)"
    with pytest.raises(ValueError, match=allowed + rf", but got {x.dtype} of shape {re.escape(str(tuple(x.shape)))}"):
        getattr(block, method)(x)


def test_printing_a_block_shows_its_options():
    assert repr(build_block("static_gate", 7)) == "StaticGate(7, at_start='half')"


def test_the_options_load_without_torch():
    code = "import sys, attn_tutorial.blocks as b; b.check_block('se', {}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
