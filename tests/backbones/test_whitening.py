"""The whitening stem does whiten, and says so where it cannot."""

import pytest
import torch

from attn_tutorial.backbones import resnet, whiten_stem_
from attn_tutorial.backbones.whitening import EPSILON


def correlated_images(seed=0):
    """Smooth random pictures: neighbouring pixels and colours are alike, as in photographs."""
    noise = torch.randn(200, 3, 36, 36, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool2d(noise, 5, stride=1)
    return smooth + 2 * smooth.mean(1, keepdim=True)


def whitened(width, pixels):
    model = resnet(8, width, stem="whiten4")
    whiten_stem_(model, pixels)
    return model.stem[0]


def test_responses_to_patches_are_white():
    """All 48 directions: covariance λ/(λ + ε) on the diagonal and 0 beside it, on the patches used."""
    pixels = correlated_images()
    conv = whitened(96, pixels)
    responses = torch.nn.functional.conv2d(pixels, conv.weight[:48], stride=4).transpose(0, 1).reshape(48, -1)
    patches = torch.nn.functional.unfold(pixels, 4, stride=4).transpose(1, 2).reshape(-1, 48)
    eigenvalues = torch.linalg.eigvalsh(torch.cov(patches.double().T)).flip(0)
    assert eigenvalues[-1] < 10 * EPSILON  # so that the epsilon matters here
    expected = torch.diag(eigenvalues / (eigenvalues + EPSILON))
    torch.testing.assert_close(torch.cov(responses.double()), expected, atol=2e-3, rtol=0)


def test_the_directions_kept_are_those_of_most_variance_and_both_signs():
    pixels = correlated_images()
    few, all_of_them = whitened(32, pixels).weight, whitened(96, pixels).weight
    torch.testing.assert_close(few[:16], all_of_them[:16])
    assert torch.equal(few[16:], -few[:16])


def test_the_stem_stays_frozen_and_nothing_else_changes():
    model = resnet(8, 32, stem="whiten4")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    whiten_stem_(model, correlated_images())
    changed = [key for key, value in model.state_dict().items() if not torch.equal(value, before[key])]
    assert changed == ["stem.0.weight"]
    assert not model.stem[0].weight.requires_grad


@pytest.mark.parametrize(
    ("model", "pixels", "message"),
    [
        ({"width": 16}, torch.zeros(2, 3, 8, 8), "stem='whiten4'"),
        ({"width": 15, "stem": "whiten4"}, torch.zeros(2, 3, 8, 8), "from 2 to 96, .* but got 15"),
        ({"width": 98, "stem": "whiten4"}, torch.zeros(2, 3, 8, 8), "from 2 to 96, .* but got 98"),
        ({"width": 16, "stem": "whiten4"}, torch.zeros(2, 8, 8, 3), "but got torch.float32 of shape"),
        ({"width": 16, "stem": "whiten4"}, torch.zeros(2, 3, 8, 8).byte(), "but got torch.uint8 of shape"),
    ],
    ids=["other stem", "odd", "too wide", "channels last axis", "bytes"],
)
def test_what_cannot_be_whitened_is_named(model, pixels, message):
    with pytest.raises(ValueError, match=message):
        whiten_stem_(resnet(depth=8, **model), pixels)
