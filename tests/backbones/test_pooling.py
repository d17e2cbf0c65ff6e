"""The last pooling: what each kind computes, how attention starts, and that it changes nothing else of a network."""

import onnxruntime
import pytest
import torch

from attn_tutorial.backbones import resnet
from attn_tutorial.backbones.pooling import AttentionPool, build_pooling

KINDS = ("mean", "max", "attention")
kinds = pytest.mark.parametrize("kind", KINDS)


def features(*shape, dtype=torch.float32):
    return torch.randn(shape or (2, 5, 3, 4), dtype=dtype, generator=torch.Generator().manual_seed(1))


def looking(channels=5, dtype=torch.float32):
    """Attention with a query that is not zero."""
    pool = AttentionPool(channels).to(dtype)
    with torch.no_grad():
        pool.query.copy_(features(channels))
    return pool


def seeded(**arguments):
    torch.manual_seed(7)
    return resnet(8, 16, **arguments)


def test_each_kind_by_hand():
    x = features()
    places = x.flatten(2)  # B, C, N
    torch.testing.assert_close(build_pooling("mean", 5)(x), places.sum(2) / 12)
    torch.testing.assert_close(build_pooling("max", 5)(x), torch.stack([each.max(1).values for each in places]))
    pool = looking()
    for image in range(2):
        scores = torch.stack([pool.query @ places[image, :, place] for place in range(12)])
        weights = scores.exp() / scores.exp().sum()
        expected = sum(weights[place] * places[image, :, place] for place in range(12))
        torch.testing.assert_close(pool(x)[image], expected)
        torch.testing.assert_close(pool.weights(x)[image, 0].flatten(), weights)


def test_attention_starts_as_the_mean_and_its_query_learns():
    pool, x = build_pooling("attention", 5), features()
    torch.testing.assert_close(pool(x), x.mean((2, 3)))
    assert torch.equal(pool.weights(x), torch.full((2, 1, 3, 4), 1 / 12))
    (pool(x) * features(2, 5)).sum().backward()
    assert pool.query.grad.abs().min() > 1e-4, "training leaves the zeros"


@pytest.mark.parametrize("size", [(1, 1), (6, 6), (2, 7)], ids=str)
def test_the_weights_of_an_image_sum_to_one_at_any_size(size):
    weights = looking().weights(features(3, 5, *size))
    assert weights.shape == (3, 1, *size)
    torch.testing.assert_close(weights.sum((1, 2, 3)), torch.ones(3))


@kinds
def test_gradients_are_right(kind):
    pool = looking(dtype=torch.float64) if kind == "attention" else build_pooling(kind, 5)
    x = features(dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: pool(x), (x, *pool.parameters()))


@kinds
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_the_output_has_the_type_of_the_features(kind, dtype):
    pool = looking() if kind == "attention" else build_pooling(kind, 5)
    expected, x = pool(features()), features().to(dtype)
    out = pool.to(dtype)(x)
    assert out.dtype == dtype
    assert (out.float() - expected).abs().max() < 0.02 * expected.abs().max()


def test_scores_under_autocast_are_computed_in_float32():
    pool, x = looking(), features()
    with torch.autocast("cpu", torch.bfloat16):
        weights, out = pool.weights(x.bfloat16()), pool(x.bfloat16())
    assert weights.dtype == torch.float32
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(weights, pool.weights(x.bfloat16().float()))


@kinds
@pytest.mark.parametrize("block", [None, "cbam"])
def test_one_seed_gives_one_network_whatever_the_pooling(kind, block):
    plain = seeded(block=block)
    drawn = torch.rand(3)
    model = seeded(block=block, pooling=kind)
    assert torch.equal(torch.rand(3), drawn)
    weights = model.state_dict()
    assert {key for key in weights if key != "pool.query"} == set(plain.state_dict())
    assert ("pool.query" in weights) == (kind == "attention")
    assert all(torch.equal(weights[key], value) for key, value in plain.state_dict().items())


def test_a_network_with_attention_pooling_starts_as_the_plain_one():
    x = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    plain, model, largest = (seeded(pooling=kind).eval() for kind in ("mean", "attention", "max"))
    torch.testing.assert_close(model(x), plain(x))
    assert not torch.allclose(largest(x), plain(x), atol=1e-3)
    model(x).square().sum().backward()
    assert model.get_parameter("pool.query").grad.abs().max() > 0
    assert model.get_parameter("pool.query").numel() == 64


@kinds
def test_classify_goes_on_from_the_last_stage(kind):
    """As Grad-CAM needs it."""
    model = seeded(pooling=kind).eval()
    kept = []
    model.stage3.register_forward_hook(lambda module, inputs, out: kept.append(out))
    x = torch.randn(2, 3, 12, 12)
    assert torch.equal(model(x), model.classify(kept[0], x))


@pytest.mark.parametrize("kind", ["max", "attention"])
def test_an_oracle_takes_the_mean_only(kind):
    with pytest.raises(ValueError, match=f"pooling must be 'mean' for an oracle.* but got '{kind}'"):
        seeded(oracle=True, pooling=kind)
    assert seeded(oracle=True, pooling="mean").oracle


@kinds
def test_onnx_runtime_gives_what_torch_gives(kind):
    model = seeded(pooling=kind).eval()
    if kind == "attention":
        model.pool.query.data.normal_()
    free = torch.export.Dim.DYNAMIC
    first, other = torch.randn(2, 3, 16, 16), torch.randn(3, 3, 16, 16)
    program = torch.onnx.export(model, (first,), dynamo=True, dynamic_shapes=({0: free},), verbose=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    (given,) = session.get_inputs()
    for x in (first, other):
        (theirs,) = session.run(None, {given.name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(theirs), model(x), atol=1e-5, rtol=1e-4)
