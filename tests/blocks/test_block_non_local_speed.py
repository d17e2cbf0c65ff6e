"""When Non-local's forward goes by its map, which is faster in bfloat16 on a CPU, and when it never builds it."""

import pytest
import torch
from torch.nn import functional as F

from attn_tutorial.blocks import build_block
from attn_tutorial.blocks.measure import peak_bytes

SOFTMAX = ("embedded", "gaussian")


@pytest.fixture
def kernels(monkeypatch):
    """The precision of each call of scaled_dot_product_attention."""
    calls, attend = [], F.scaled_dot_product_attention

    def noted(query, *arguments, **options):
        out = attend(query, *arguments, **options)
        calls.append(out.dtype)
        return out

    monkeypatch.setattr(F, "scaled_dot_product_attention", noted)
    return calls


@pytest.mark.parametrize("pairwise", SOFTMAX)
@pytest.mark.parametrize("size", [(12, 12), (6, 6), (26, 26)], ids=str)
def test_bfloat16_goes_by_the_map(pairwise, size, kernels):
    block = build_block("non_local", 16, pairwise=pairwise, zero_init=False)
    x = torch.randn(2, 16, *size)
    expected = block(x)
    assert kernels == [torch.float32]
    with torch.autocast("cpu", torch.bfloat16):
        out = block(x)
    assert (out - expected).abs().max() < 0.03 * expected.abs().max()
    block.bfloat16()(x.bfloat16())
    assert len(kernels) == 1


@pytest.mark.parametrize("pairwise", SOFTMAX)
def test_a_large_map_is_not_built_in_bfloat16_either(pairwise, kernels):
    block = build_block("non_local", 16, pairwise=pairwise, zero_init=False).bfloat16()
    x = torch.randn(2, 16, 40, 40, dtype=torch.bfloat16, requires_grad=True)
    assert peak_bytes(block, x) < 2 * 1600 * 1600 * x.element_size() / 4
    assert set(kernels) == {torch.bfloat16}


def test_with_sub_sampling_the_map_is_a_quarter(kernels):
    whole, quarter = (build_block("non_local", 16, sub_sample=choice).bfloat16() for choice in (False, True))
    x = torch.randn(1, 16, 36, 36, dtype=torch.bfloat16)
    whole(x)
    assert len(kernels) == 1
    quarter(x)
    assert len(kernels) == 1
