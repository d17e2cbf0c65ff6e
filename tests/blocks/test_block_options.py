"""Names and options: what is allowed, and what the message for the rest says."""

import subprocess
import sys

import pytest
import torch

from attn_tutorial.blocks import BLOCK_OPTIONS, SE, build_block, check_block


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
        ("non-local", {}, "'non-local'.*Did you mean 'non_local'.*static_gate"),
        ("se", {"reductoin": 8}, "'reductoin'.*Did you mean 'reduction'.*squeeze"),
        ("se", {"reduction": "8"}, "reduction='8'.*integer"),
        ("se", {"reduction": 0}, "reduction=0.*greater than 0"),
        ("se", {"gate": "softmax"}, "gate='softmax'.*'sigmoid', 'tanh' or 'relu'"),
        ("se", {"gate": "tanh", "at_start": "identity"}, "needs gate='sigmoid'.*'tanh'"),
        ("spatial", {"kernel": 4}, "kernel=4.*3 or 7"),
        ("spatial", {"norm": 1}, "norm=1.*boolean"),
        ("cbam", {"order": "channel"}, "order='channel'.*'parallel'"),
        ("non_local", {"pairwise": "concat"}, "pairwise='concat'.*'dot'"),
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
    with pytest.raises(ValueError, match="frozen"):
        setattr(model(), next(iter(model.model_fields)), None)


def test_a_class_checks_its_options_too():
    with pytest.raises(ValueError, match="at_start='identiy'"):
        SE(32, at_start="identiy")


@pytest.mark.parametrize("name", ["se", "channel", "cbam"])
def test_fewer_channels_than_the_reduction_is_an_error(name):
    with pytest.raises(ValueError, match=r"8 channels with reduction 16.*from 1 to 8"):
        build_block(name, 8)
    assert build_block(name, 8, reduction=8)(torch.ones(2, 8, 3, 3)).shape == (2, 8, 3, 3)


def test_printing_a_block_shows_its_options():
    assert repr(build_block("static_gate", 7)) == "StaticGate(7, at_start='half')"


def test_the_options_load_without_torch():
    code = "import sys, attn_tutorial.blocks as b; b.check_block('se', {}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
