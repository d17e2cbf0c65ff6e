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


def perceptron(layers, z):
    """SE's W₂ relu(W₁ z) for one vector z, from two 1×1 convolutions."""
    first, _, last = layers
    return last.weight[:, :, 0, 0] @ torch.relu(first.weight[:, :, 0, 0] @ z + first.bias) + last.bias


@pytest.mark.parametrize("reduction", [None, 2])
@pytest.mark.parametrize("extent", [None, 2, 4])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (5, 6)], ids=str)
def test_gather_excite_with_means_equals_its_definition(extent, reduction, size):
    block, x = randomised("gather_excite", 4, extent=extent, reduction=reduction), features(2, 4, *size)
    height, width = size
    rows, columns = (1, 1) if extent is None else (-(-height // extent), -(-width // extent))
    expected = torch.empty_like(x)
    for row in range(height):
        for column in range(width):
            if extent is None:
                summary = x.mean((2, 3))
            else:  # of the square around every e-th place; the nearest one counts
                i, j = row * rows // height * extent, column * columns // width * extent
                square = x[:, :, max(i - extent + 1, 0) : i + extent, max(j - extent + 1, 0) : j + extent]
                summary = square.mean((2, 3))
            logits = summary if reduction is None else torch.stack([perceptron(block.mlp, z) for z in summary])
            expected[:, :, row, column] = x[:, :, row, column] * torch.sigmoid(logits)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("reduction", [None, 2])
@pytest.mark.parametrize(("extent", "layers"), [(2, 1), (4, 2), (8, 3)])
def test_gather_excite_with_convolutions_equals_its_definition(extent, layers, reduction):
    block = randomised("gather_excite", 4, extent=extent, gather="conv", reduction=reduction)
    x = features(2, 4, 8, 16)
    convs = [each for each in block.gather if isinstance(each, nn.Conv2d)]
    norms = [each for each in block.gather if isinstance(each, nn.BatchNorm2d)]
    assert len(convs) == len(norms) == layers
    summaries = x
    for depth, (conv, norm) in enumerate(zip(convs, norms, strict=True)):
        around = nn.functional.pad(torch.relu(summaries) if depth else summaries, (1, 1, 1, 1))
        rows, columns = summaries.shape[2] // 2, summaries.shape[3] // 2
        summaries = torch.empty(2, 4, rows, columns, dtype=torch.float64)
        for row in range(rows):
            for column in range(columns):
                square = around[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
                summaries[:, :, row, column] = (square * conv.weight[:, 0]).sum((2, 3))
        summaries = norm(summaries)
    if reduction:
        flat = torch.relu(summaries).permute(0, 2, 3, 1).flatten(0, 2)
        logits = torch.stack([perceptron(block.mlp, z) for z in flat])
        summaries = logits.reshape(2, 8 // extent, 16 // extent, 4).permute(0, 3, 1, 2)
    gates = torch.sigmoid(summaries).repeat_interleave(extent, 2).repeat_interleave(extent, 3)
    torch.testing.assert_close(block(x), x * gates)


def test_gather_excite_without_places_and_with_a_perceptron_is_se():
    block, se = randomised("gather_excite", 8, reduction=2), build_block("se", 8, reduction=2).double()
    for ours, theirs in zip(se.parameters(), block.mlp.parameters(), strict=True):
        ours.data.copy_(theirs.reshape(ours.shape))
    x = features(2, 8, 3, 5)
    torch.testing.assert_close(block(x), se(x))


def along(strip, conv):
    """A convolution along a strip (C, length), by its definition, with zeros beyond both ends."""
    channels, length = strip.shape
    weight = conv.weight.reshape(channels, conv.weight.shape[1], -1)  # of a 1-D convolution, or a 2-D one of width 1
    read, kernel = weight.shape[1:]
    result = torch.zeros_like(strip)
    for channel in range(channels):
        first = channel // (channels // conv.groups) * read
        for place in range(length):
            for tap in range(kernel):
                other = place + tap - kernel // 2
                if 0 <= other < length:
                    result[channel, place] += weight[channel, :, tap] @ strip[first : first + read, other]
            if conv.bias is not None:
                result[channel, place] += conv.bias[channel]
    return result


def normalised(x, norm):
    """A group normalisation of (C, ...), by its definition."""
    parts = x.reshape(norm.num_groups, -1)
    spread = (parts - parts.mean(1, keepdim=True)).square().mean(1, keepdim=True)
    shape = (-1, *[1] * (x.ndim - 1))
    return ((parts - parts.mean(1, keepdim=True)) / (spread + norm.eps).sqrt()).reshape(x.shape) * norm.weight.reshape(
        shape
    ) + norm.bias.reshape(shape)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("mixed", [1, 4])
@pytest.mark.parametrize("at_start", ["half", "identity"])
def test_ela_equals_its_definition(shared, mixed, at_start):
    block = randomised("ela", 8, kernel=5, mixed=mixed, norm_groups=2, shared=shared, at_start=at_start)
    x, most = features(2, 8, 4, 6), 2 if at_start == "identity" else 1
    (conv, norm), (other_conv, other_norm) = block.rows, block.columns or block.rows
    assert (block.columns is None) == shared
    for image in range(2):
        rows = normalised(along(x[image].mean(2), conv), norm)
        columns = normalised(along(x[image].mean(1), other_conv), other_norm)
        gates = (most * torch.sigmoid(rows))[:, :, None] * (most * torch.sigmoid(columns))[:, None]
        torch.testing.assert_close(block(x)[image], x[image] * gates)


@pytest.mark.parametrize("conv", [True, False])
def test_strips_equal_their_definition(conv):
    block, x = randomised("strip", 4, conv=conv, kernel=3), features(2, 4, 5, 3)
    for image in range(2):
        rows, columns = x[image].mean(2), x[image].mean(1)
        if conv:
            rows, columns = along(rows, block.rows), along(columns, block.columns)
        for row in range(5):
            for column in range(3):
                gate = torch.sigmoid(rows[:, row] + columns[:, column])
                torch.testing.assert_close(block(x)[image, :, row, column], gate * x[image, :, row, column])


def test_ema_equals_its_definition():
    block, x = randomised("ema", 8, groups=2), features(2, 8, 4, 3)
    mix, bias = block.strips.weight[:, :, 0, 0], block.strips.bias
    for image in range(2):
        for group in (slice(0, 4), slice(4, 8)):
            part = x[image, group]
            gated = torch.empty_like(part)
            for row in range(4):
                for column in range(3):
                    of_row = torch.sigmoid(mix @ part[:, row].mean(1) + bias)
                    of_column = torch.sigmoid(mix @ part[:, :, column].mean(1) + bias)
                    gated[:, row, column] = part[:, row, column] * of_row * of_column
            a = torch.stack([normalised(each[None], one_of(block.norm, i))[0] for i, each in enumerate(gated)])
            around, b = nn.functional.pad(part, (1, 1, 1, 1)), torch.empty_like(part)
            for row in range(4):
                for column in range(3):
                    square = around[:, row : row + 3, column : column + 3]
                    b[:, row, column] = (block.conv.weight * square).sum((1, 2, 3)) + block.conv.bias
            of_a, of_b = (torch.exp(each.mean((1, 2))) / torch.exp(each.mean((1, 2))).sum() for each in (a, b))
            logits = sum(of_a[i] * b[i] + of_b[i] * a[i] for i in range(4))
            torch.testing.assert_close(block(x)[image, group], part * torch.sigmoid(logits))


def one_of(norm, channel):
    """The group normalisation of a single channel of a norm that has one channel in each group."""
    one = nn.GroupNorm(1, 1).double()
    one.weight.data.copy_(norm.weight[channel])
    one.bias.data.copy_(norm.bias[channel])
    return one


def test_one_of_emas_two_weightings_never_looks_at_the_image():
    """The mean of a channel that was normalised by itself is its bias."""
    block = randomised("ema", 8, groups=2)
    for seed in range(3):
        x = torch.randn(2, 8, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        means = block._of_strips(x.unflatten(1, (2, -1)).flatten(0, 1)).mean((2, 3))
        torch.testing.assert_close(means, block.norm.bias.expand_as(means))


@pytest.mark.parametrize(("size", "window"), [((4, 6), 2), ((14, 7), 7), ((3, 2), 7), ((5, 5), 2)], ids=str)
def test_scsa_equals_its_definition(size, window):
    block, x = randomised("scsa", 8, heads=2, window=window), features(2, 8, *size)
    height, width = size
    for image in range(2):
        rows, columns = (
            torch.cat([along(each[2 * i : 2 * i + 2], conv) for i, conv in enumerate(block.strips)])
            for each in (x[image].mean(2), x[image].mean(1))
        )
        of_rows = torch.sigmoid(normalised(rows, block.norm_rows))
        of_columns = torch.sigmoid(normalised(columns, block.norm_columns))
        y = x[image] * of_rows[:, :, None] * of_columns[:, None]
        corners = [(row, column) for row in range(0, height, window) for column in range(0, width, window)]
        windows = torch.stack([y[:, i : i + window, j : j + window].mean((1, 2)) for i, j in corners], 1)  # C, N
        tokens = normalised(windows, block.norm)
        q, k, v = (each.weight[:, 0, 0] * tokens for each in (block.q, block.k, block.v))
        for head in (range(4), range(4, 8)):
            for channel in head:
                scores = torch.stack([torch.exp(q[channel] @ k[other] / 2) for other in head])  # √4 channels a head
                mixed = sum(score * v[other] for score, other in zip(scores, head, strict=True)) / scores.sum()
                torch.testing.assert_close(block(x)[image, channel], torch.sigmoid(mixed.mean()) * y[channel])


@pytest.mark.parametrize(("kernel", "dilation", "sides"), [(21, 3, (5, 7)), (9, 2, (3, 5)), (5, 1, (1, 5))])
def test_lka_equals_its_definition(kernel, dilation, sides):
    block, x = randomised("lka", 3, kernel=kernel, dilation=dilation), features(2, 3, 6, 5)
    local, distant, mix = block.gate
    assert (local.kernel_size[0], distant.kernel_size[0]) == sides

    def depthwise(x, conv, apart):
        result, reach = torch.zeros_like(x), conv.kernel_size[0] // 2
        for row in range(x.shape[2]):
            for column in range(x.shape[3]):
                result[:, :, row, column] = conv.bias
                for i in range(-reach, reach + 1):
                    for j in range(-reach, reach + 1):
                        there, across = row + i * apart, column + j * apart
                        if 0 <= there < x.shape[2] and 0 <= across < x.shape[3]:
                            weight = conv.weight[:, 0, i + reach, j + reach]
                            result[:, :, row, column] += weight * x[:, :, there, across]
        return result

    hidden = depthwise(depthwise(x, local, 1), distant, dilation)
    gate = torch.einsum("oc,bchw->bohw", mix.weight[:, :, 0, 0], hidden) + mix.bias[:, None, None]
    torch.testing.assert_close(block(x), gate * x)


def test_lka_reaches_as_far_as_the_kernel_it_stands_for():
    """The first two convolutions see 4 + 18 places to each side of the middle: at least the 21 × 21 kernel."""
    block = build_block("lka", 2).double()
    x = torch.zeros(1, 2, 41, 41, dtype=torch.float64, requires_grad=True)
    block.gate[1](block.gate[0](x))[0, 0, 20, 20].backward()
    seen = (x.grad[0, 0] != 0).nonzero() - 20
    assert seen.abs().max() == 2 + 9
    assert (2 * seen.abs().max() + 1) >= 21


def test_grn_equals_its_definition():
    block, x = randomised("grn", 4, eps=0.5), features(2, 4, 3, 5)
    for image in range(2):
        norms = [sum(each**2 for each in channel.flatten()) ** 0.5 for channel in x[image]]
        for channel in range(4):
            share = norms[channel] / (sum(norms) / 4 + 0.5)
            expected = block.gamma[channel] * share * x[image, channel] + block.beta[channel] + x[image, channel]
            torch.testing.assert_close(block(x)[image, channel], expected)


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
