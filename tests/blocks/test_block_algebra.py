"""The blocks against loops from the papers' equations, and Non-local the quick way against its definition."""

import math

import pytest
import torch
from torch import nn

from attn_tutorial.blocks import build_block

PAIRWISE = ("embedded", "gaussian", "dot", "concat", "uniform")
PAIRWISE_AND_SCALE = [
    (pairwise, scale)
    for pairwise in PAIRWISE
    for scale in ("inner", "channels", "none")
    if pairwise not in ("concat", "uniform") or scale == "inner"
]


def randomised(name, channels, **options):
    """A block in double precision, in evaluation, with no zero or one left among its weights."""
    torch.manual_seed(0)
    block = build_block(name, channels, **options).double().eval()
    for each in block.state_dict().values():
        if each.is_floating_point():
            each.copy_(torch.rand_like(each) - 0.3)
    for module in block.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_var.uniform_(0.5, 2)
    return block


def features(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("pairwise", "scale"), PAIRWISE_AND_SCALE)
@pytest.mark.parametrize("sub_sample", [False, True], ids=["all", "sub-sampled"])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (2, 3)], ids=str)
def test_non_local_equals_its_definition_place_by_place(pairwise, scale, sub_sample, size):
    torch.manual_seed(0)
    # As many places as inner units at 2 × 3, where a forgotten transpose goes unnoticed.
    channels, inner = 8, 6
    options = {"pairwise": pairwise, "scale": scale, "sub_sample": sub_sample}
    block = build_block("non_local", channels, inner=inner, zero_init=False, **options)
    block = block.double().eval()
    x = torch.randn(2, channels, *size, dtype=torch.float64)
    compared = channels if pairwise == "gaussian" else inner
    factor = {"inner": 1 / math.sqrt(compared), "channels": 1 / math.sqrt(channels), "none": 1.0}[scale]
    expected = torch.empty_like(x)
    for image in range(2):
        places = [x[image, :, row, column] for row in range(size[0]) for column in range(size[1])]
        others = places
        if sub_sample:
            corners = [(row, column) for row in range(0, size[0], 2) for column in range(0, size[1], 2)]
            others = [x[image, :, row : row + 2, column : column + 2].amax((1, 2)) for row, column in corners]
        for i, here in enumerate(places):
            if pairwise == "concat":
                both = [torch.cat([block.theta(here), block.phi(there)]) for there in others]
                scores = torch.stack([torch.relu(block.compare.weight[0] @ each) for each in both])
            elif pairwise == "uniform":
                scores = torch.ones(len(others), dtype=torch.float64)
            else:
                scores = torch.stack([factor * block.theta(here) @ block.phi(there) for there in others])
            weights = scores.softmax(0) if pairwise in ("embedded", "gaussian") else scores / len(others)
            collected = sum(weight * block.g(there) for weight, there in zip(weights, others, strict=True))
            expected[image, :, i // size[1], i % size[1]] = block.out(collected)
            torch.testing.assert_close(block.attention(x)["pairwise"][image, i], weights)
    torch.testing.assert_close(block(x), x + block.norm(expected))


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", [(9, 11), (12, 10)], ids=str)
def test_non_local_forward_is_the_map_applied_and_so_are_its_gradients(pairwise, batch, size):
    """With places enough for every short cut: the concatenation's sorted sums, and the halves of a single image."""
    block = randomised("non_local", 6, pairwise=pairwise)
    x = features(batch, 6, *size).requires_grad_()
    results = []
    for out in (block(x), block.apply_attention(x, block.attention(x))):
        inputs = [x, *block.parameters()]
        results.append([out, *torch.autograd.grad((out * features(*out.shape)).sum(), inputs)])
    torch.testing.assert_close(*results)


def test_sums_of_many_places_in_bfloat16_stay_near():
    torch.manual_seed(0)
    block = build_block("non_local", 8, pairwise="concat", zero_init=False).eval()
    x = torch.randn(2, 8, 40, 40)
    expected, out = block(x) - x, block.to(torch.bfloat16)(x.to(torch.bfloat16)) - x
    assert (out - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize("sub_sample", [False, True], ids=["all", "sub-sampled"])
def test_uniform_non_local_collects_the_plain_mean(sub_sample):
    """By the mean of x over its places: g and the output projection are linear, so their order does not matter."""
    block, x = randomised("non_local", 6, pairwise="uniform", sub_sample=sub_sample), features(2, 6, 5, 4)
    pooled = nn.functional.max_pool2d(x, 2, ceil_mode=True) if sub_sample else x
    collected = block.out(block.g(pooled.mean((2, 3))))[:, :, None, None].expand_as(x)
    torch.testing.assert_close(block(x), x + block.norm(collected))
    places = 6 if sub_sample else 20
    expected = torch.full((2, 20, places), 1 / places, dtype=torch.float64)
    assert torch.equal(block.attention(x)["pairwise"], expected)


def test_uniform_non_local_has_the_weights_of_the_other_forms_but_for_the_comparison():
    shapes = {
        form: {key: value.shape for key, value in build_block("non_local", 8, pairwise=form).state_dict().items()}
        for form in ("uniform", "embedded")
    }
    kept = {key: shape for key, shape in shapes["embedded"].items() if not key.startswith(("theta.", "phi."))}
    assert shapes["uniform"] == kept


@pytest.mark.parametrize("pairwise", ["embedded", "gaussian", "uniform"])
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
    for batch in (1, 2):
        x = torch.randn(batch, 8, 40, 40, requires_grad=True)
        with Watch():
            block(x).sum().backward()
        assert largest <= batch * 2 * 8 * places
    with Watch():
        block.attention(x[:1])
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
    first = build_block("cbam", 32).eval()
    channel, spatial = first.channel, first.spatial
    both = channel.attention(x)["channel"] * spatial.attention(x)["spatial"]
    outputs = {
        "channel-spatial": spatial(channel(x)),
        "spatial-channel": channel(spatial(x)),
        "parallel": both * x,
    }
    for order, expected in outputs.items():
        block = build_block("cbam", 32, order=order).eval()
        block.load_state_dict(first.state_dict())
        torch.testing.assert_close(block(x), expected)
        others = [other for name, other in outputs.items() if name != order]
        assert all((block(x) - other).abs().max() > 1e-4 for other in others)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_eca_equals_its_definition(kernel):
    block, x = randomised("eca", 8, kernel=kernel), features(2, 8, 3, 4)
    for image in range(2):
        z = [x[image, channel].sum() / 12 for channel in range(8)]
        for channel in range(8):
            reach = range(channel - kernel // 2, channel + kernel // 2 + 1)
            taps = zip(block.conv.weight[0, 0], reach, strict=True)
            logit = sum((weight * z[near] for weight, near in taps if 0 <= near < 8), torch.zeros(()))
            torch.testing.assert_close(block(x)[image, channel], x[image, channel] * torch.sigmoid(logit))


@pytest.mark.parametrize(("channels", "kernel"), [(1, 1), (8, 3), (64, 3), (128, 5), (256, 5), (512, 5), (2048, 7)])
def test_ecas_kernel_follows_from_the_channels(channels, kernel):
    """The published kernels: 3 at 64 channels, 5 from 128 to 512, 7 at 2048 (rounded as the authors' code does)."""
    assert build_block("eca", channels).conv.kernel_size == (kernel,)


@pytest.mark.parametrize(("combine", "join"), [("sum", torch.add), ("product", torch.mul), ("max", torch.maximum)])
def test_bam_equals_its_definition(combine, join):
    block, x = randomised("bam", 8, reduction=2, dilation=3, combine=combine), features(2, 8, 5, 4)
    first, norm, _, last = block.channel
    channel = last(torch.relu(norm(first(x.mean((2, 3))))))
    hidden, place = x, block.spatial
    for conv, norm, padding in ((0, 1, 0), (3, 4, 3), (6, 7, 3)):
        weight, bias = place[conv].weight, place[conv].bias
        hidden = nn.functional.conv2d(hidden, weight, bias, padding=padding, dilation=max(padding, 1))
        hidden = torch.relu(place[norm](hidden))
    spatial = torch.einsum("bchw,c->bhw", hidden, place[9].weight[0, :, 0, 0]) + place[9].bias
    for channel_index in range(8):
        logits = join(channel[:, channel_index, None, None].expand_as(spatial), spatial)
        expected = x[:, channel_index] * (1 + torch.sigmoid(logits))
        torch.testing.assert_close(block(x)[:, channel_index], expected)


@pytest.mark.parametrize("pool", ["attention", "avg"])
@pytest.mark.parametrize(("fusion", "at_start"), [("add", "identity"), ("scale", "identity"), ("scale", "half")])
def test_global_context_equals_its_definition(pool, fusion, at_start):
    block = randomised("global_context", 8, reduction=2, pool=pool, fusion=fusion, at_start=at_start)
    x = features(2, 8, 3, 4)
    for image in range(2):
        places = [x[image, :, row, column] for row in range(3) for column in range(4)]
        scores = [torch.exp(block.score.weight[0, :, 0, 0] @ each) if pool == "attention" else 1 for each in places]
        context = sum(score * each for score, each in zip(scores, places, strict=True)) / sum(scores)
        first, norm, _, last = block.transform
        t = last(torch.relu(norm(first(context))))[:, None, None]
        gate = torch.sigmoid(t) * (2 if at_start == "identity" else 1)
        torch.testing.assert_close(block(x)[image], x[image] + t if fusion == "add" else x[image] * gate)


def test_simam_equals_its_definition():
    block, x = build_block("simam", 3, lam=0.2), features(2, 3, 4, 5)
    for image in range(2):
        for channel in range(3):
            each = x[image, channel]
            mean = each.sum() / 20
            variance = ((each - mean) ** 2).sum() / 20
            energy = 4 * (variance + 0.2) / ((each - mean) ** 2 + 2 * variance + 2 * 0.2)
            torch.testing.assert_close(block(x)[image, channel], each * torch.sigmoid(1 / energy))


def test_coordinate_attention_equals_its_definition():
    block, x = randomised("coordinate", 8, reduction=1), features(2, 8, 3, 4)

    def gates(means, last):
        conv, norm, _ = block.reduce
        hidden = norm(conv(means[:, :, None, None]))
        hidden = hidden * torch.clamp(hidden + 3, 0, 6) / 6
        return torch.sigmoid(last(hidden))[:, :, 0, 0]

    for row in range(3):
        for column in range(4):
            of_row = gates(x[:, :, row].mean(2), block.row)
            of_column = gates(x[:, :, :, column].mean(2), block.column)
            expected = x[:, :, row, column] * of_row * of_column
            torch.testing.assert_close(block(x)[:, :, row, column], expected)


@pytest.mark.parametrize(("channels", "hidden"), [(3, 8), (64, 8), (512, 16)])
def test_coordinate_attention_has_eight_hidden_channels_at_least(channels, hidden):
    assert build_block("coordinate", channels).row.in_channels == hidden


def test_triplet_attention_equals_its_definition():
    block, x = randomised("triplet", 8, kernel=3), features(2, 8, 5, 4)

    def gate(branch, planes):
        """Of planes (B, summarised, height, width)."""
        summary = torch.stack([planes.max(1).values, planes.mean(1)], 1)
        return torch.sigmoid(branch[1](nn.functional.conv2d(summary, branch[0].weight, padding=1)))

    by_channels = gate(block.over_channels, x)
    by_rows = gate(block.over_rows, x.permute(0, 2, 1, 3)).permute(0, 2, 1, 3)
    by_columns = gate(block.over_columns, x.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)
    torch.testing.assert_close(block(x), (x * by_channels + x * by_rows + x * by_columns) / 3)


@pytest.mark.parametrize("name", ["se+spatial", "se+non_local", "cbam+non_local"])
def test_a_combination_arranges_its_two_blocks_as_asked_for(name):
    block, x = randomised(name, 32), features(2, 32, 5, 4)
    first, second = block.first, block.second
    assert [first.name, second.name] == name.split("+")
    sequential, parallel = second(first(x)), (first(x) + second(x)) / 2
    assert (sequential - parallel).abs().max() > 1e-2
    torch.testing.assert_close(block(x), sequential)
    torch.testing.assert_close(randomised(name, 32, arrangement="parallel")(x), parallel)


def test_a_combination_hands_its_options_on():
    block = build_block("cbam+non_local", 32, reduction=4, at_start="identity")
    assert block.first.options["reduction"] == 4
    assert block.first.options["at_start"] == "identity"
    assert build_block("se+spatial", 32, at_start="identity").second.options["at_start"] == "identity"


def test_random_gates_are_drawn_once_and_kept():
    torch.manual_seed(0)
    block, other = build_block("random_gate", 1000), build_block("random_gate", 1000)
    gates, x = block.attention(torch.ones(1, 1000, 1, 1))["channel"], torch.randn(2, 1000, 3, 2)
    assert torch.equal(block(x), x * gates)
    assert torch.equal(block.train()(x), block.eval()(x))
    assert 0 <= gates.min() < 0.01
    assert 0.99 < gates.max() < 1
    assert abs(gates.mean() - 0.5) < 0.03
    assert not torch.equal(gates, other.attention(x)["channel"][:1])
    other.load_state_dict(block.state_dict())
    assert torch.equal(other(x), block(x))


@pytest.mark.parametrize("at_start", ["half", "identity"])
@pytest.mark.parametrize("size", [(3, 3), (6, 6), (5, 7), (12, 9), (1, 1), (2, 20)], ids=str)
def test_static_spatial_lays_its_grid_over_the_features(size, at_start):
    """Bilinear interpolation by hand: the middle of a place lies among the middles of the cells, or beyond the last."""
    block, x = randomised("static_spatial", 4, cells=3, at_start=at_start), features(2, 4, *size)

    def between(place, places):
        """The two nearest cells along an axis, each with its weight."""
        at = min(max((place + 0.5) * 3 / places - 0.5, 0), 2)
        first = min(int(at), 1)
        return ((first, 1 - (at - first)), (first + 1, at - first))

    for row in range(size[0]):
        for column in range(size[1]):
            logit = sum(
                by_row * by_column * block.logits[0, 0, i, j]
                for i, by_row in between(row, size[0])
                for j, by_column in between(column, size[1])
            )
            gate = torch.sigmoid(logit) * (2 if at_start == "identity" else 1)
            torch.testing.assert_close(block(x)[:, :, row, column], gate * x[:, :, row, column])


def test_static_spatial_has_one_number_for_each_place_of_its_own_size():
    block = randomised("static_spatial", 4, cells=5)
    assert torch.equal(block.attention(features(2, 4, 5, 5))["spatial"], block.logits.sigmoid().expand(2, -1, -1, -1))
