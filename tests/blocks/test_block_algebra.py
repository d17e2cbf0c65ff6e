"""Non-local the quick way against its definition, and the gates against loops from the papers."""

import math

import pytest
import torch

from attn_tutorial.blocks import build_block

PAIRWISE = ("embedded", "gaussian", "dot")


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("scale", ["inner", "channels", "none"])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (2, 3)], ids=str)
def test_non_local_equals_its_definition_place_by_place(pairwise, scale, size):
    torch.manual_seed(0)
    channels, inner = (
        8,
        6,
    )  # as many places as inner units at 2 × 3, where a forgotten transpose goes unnoticed
    block = build_block("non_local", channels, pairwise=pairwise, inner=inner, scale=scale, zero_init=False)
    block = block.double().eval()
    x = torch.randn(2, channels, *size, dtype=torch.float64)
    compared = channels if pairwise == "gaussian" else inner
    factor = {"inner": 1 / math.sqrt(compared), "channels": 1 / math.sqrt(channels), "none": 1.0}[scale]
    expected = torch.empty_like(x)
    for image in range(2):
        places = [x[image, :, row, column] for row in range(size[0]) for column in range(size[1])]
        for i, here in enumerate(places):
            scores = torch.stack([factor * block.theta(here) @ block.phi(there) for there in places])
            weights = scores / len(places) if pairwise == "dot" else scores.softmax(0)
            collected = sum(weight * block.g(there) for weight, there in zip(weights, places, strict=True))
            expected[image, :, i // size[1], i % size[1]] = block.out(collected)
            torch.testing.assert_close(block.attention(x)["pairwise"][image, i], weights)
    torch.testing.assert_close(block(x), x + block.norm(expected))


@pytest.mark.parametrize("pairwise", ["embedded", "gaussian"])
def test_weights_of_a_place_sum_to_one(pairwise):
    weights = build_block("non_local", 8, pairwise=pairwise).attention(torch.randn(2, 8, 4, 3))["pairwise"]
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 12))


def test_dot_product_weights_need_not_sum_to_one():
    weights = build_block("non_local", 8, pairwise="dot").attention(torch.randn(2, 8, 4, 3))["pairwise"]
    assert (weights.sum(2) - 1).abs().min() > 0.01


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_non_local_forward_and_backward_never_hold_an_n_by_n_map(pairwise):
    places = 40 * 40
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            for each in result if isinstance(result, tuple) else (result,):
                if isinstance(each, torch.Tensor):
                    largest = max(largest, each.numel())
            return result

    block = build_block("non_local", 8, pairwise=pairwise)
    x = torch.randn(1, 8, 40, 40, requires_grad=True)
    with Watch():
        block(x).sum().backward()
    assert largest <= 2 * 8 * places
    with Watch():
        block.attention(x)
    assert largest == places**2  # the watch does see it where it is built


def test_se_equals_its_definition():
    torch.manual_seed(0)
    block = build_block("se", 8, reduction=4)
    x = torch.randn(2, 8, 3, 4)
    for image in range(2):
        z = torch.stack([x[image, channel].sum() / 12 for channel in range(8)])
        hidden = torch.clamp(block.mlp[0].weight @ z + block.mlp[0].bias, min=0)
        s = 1 / (1 + torch.exp(-(block.mlp[2].weight @ hidden + block.mlp[2].bias)))
        for channel in range(8):
            torch.testing.assert_close(block(x)[image, channel], s[channel] * x[image, channel])


@pytest.mark.parametrize(("squeeze", "summary"), [("avg", torch.mean), ("max", torch.max)])
@pytest.mark.parametrize("gate", ["sigmoid", "tanh", "relu"])
def test_se_squeeze_and_gate_are_the_ones_asked_for(squeeze, summary, gate):
    torch.manual_seed(0)
    block = build_block("se", 8, reduction=2, squeeze=squeeze, gate=gate)
    x = torch.randn(1, 8, 3, 4)
    z = torch.stack([summary(channel) for channel in x[0]])
    torch.testing.assert_close(block.attention(x)["channel"][0, :, 0, 0], getattr(torch, gate)(block.mlp(z)))


@pytest.mark.parametrize(("pools", "names"), [("avg", ["mean"]), ("max", ["amax"]), ("both", ["mean", "amax"])])
def test_cbam_halves_use_the_pools_asked_for(pools, names):
    torch.manual_seed(0)
    x = torch.randn(2, 8, 6, 5)
    channel = build_block("channel", 8, reduction=2, pools=pools)
    logits = sum(channel.mlp(getattr(x, name)((2, 3))) for name in names)
    torch.testing.assert_close(channel.attention(x)["channel"][:, :, 0, 0], logits.sigmoid())
    spatial = build_block("spatial", 8, pools=pools, norm=False)
    summaries = torch.cat([getattr(x, name)(1, keepdim=True) for name in names], 1)
    torch.testing.assert_close(spatial.attention(x)["spatial"], spatial.conv(summaries).sigmoid())


def test_cbam_applies_its_halves_in_the_order_asked_for():
    torch.manual_seed(0)
    x = torch.randn(2, 32, 6, 5)
    block = build_block("cbam", 32).eval()
    channel, spatial = block.channel, block.spatial
    both = channel.attention(x)["channel"] * spatial.attention(x)["spatial"]
    outputs = {
        "channel-spatial": spatial(channel(x)),
        "spatial-channel": channel(spatial(x)),
        "parallel": both * x,
    }
    for order, expected in outputs.items():
        block.order = order
        torch.testing.assert_close(block(x), expected)
        others = [other for name, other in outputs.items() if name != order]
        assert all((block(x) - other).abs().max() > 1e-4 for other in others)
