"""Non-local: every place looks at every other place. How its sums are computed quickly is in `non_local_kernels`."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps
from attn_tutorial.blocks.float16 import in_float32, weights_like, without_float16
from attn_tutorial.blocks.non_local_kernels import (
    EachPlace,
    Tokens,
    as_tokens,
    dot_sum,
    map_is_cheaper,
    mean_of_all,
    rectified_sum,
    softmax_sum,
)
from attn_tutorial.blocks.options import NonLocalOptions


class NonLocal(AttentionBlock):
    """Non-local block: y_i = Σ_j a_ij g(x_j), out = x + norm(W y), over the N = H·W places i and M = N places j.

    - "embedded": a_ij = softmax_j(s · θ(x_i)ᵀ φ(x_j))
    - "gaussian": a_ij = softmax_j(s · x_iᵀ x_j), without θ and φ
    - "dot": a_ij = s · θ(x_i)ᵀ φ(x_j) / M
    - "concat": a_ij = relu(wᵀ [θ(x_i); φ(x_j)]) / M
    - "uniform": a_ij = 1 / M, without θ and φ: every place collects the plain mean. It compares nothing, and is the
      control that shows what the rest of the block does

    With sub_sample, the places j are those of x after a 2×2 max pooling, M = ⌈H/2⌉·⌈W/2⌉. (The equation pools x; the
    authors' code pools φ and g.)

    `forward` does not build a large N × M map, so that its memory grows with N; `attention` does build it. (`forward`
    builds only a map that is smaller than what would replace it or, in bfloat16 on a CPU, than a mebibyte per image.)

    In float16 all of y is computed in float32, and takes the time and memory of float32. In bfloat16 and float32,
    products of features overflow from about 10¹⁹ on, and from 10¹² on for "dot", which multiplies three. Both softmax
    forms compare scores s · θ(x_i)ᵀ φ(x_j). Where these are above 10⁷, with features in the thousands, float32 rounds
    them to whole numbers: the gradients are inexact, and above 10⁹ they may be infinite.

    Parameters: 4Ci + 3i + C (gaussian and uniform 2Ci + i + C; concat 2i more), and 2C for the norm; with i = C/2,
    2C² + 2.5C + 2C. Training needs more than one place in the batch, as batch normalisation does; "uniform", whose
    places collect the same, needs more than one image.

    Source: Wang, Girshick, Gupta, He, Non-local Neural Networks, 2018, section 3 (equation 1; Gaussian 2,
    embedded 3, dot 4, concatenation 5; the block 6; sub-sampling 3.3); zero_init in section 4.1 (arXiv 1711.07971).
    "uniform" is a control of this project's study.

    Args:
        channels: C
        pairwise: how two places are compared
        inner: i, the width of θ, φ and g; by default ⌊C/2⌋, and at least 1
        scale: s, 1/√width of the compared vectors ("inner"), 1/√C ("channels", as in timm) or 1 ("none",
            as in the paper); "concat" and "uniform" have none
        zero_init: start the norm's scale at zero, so that the untrained block is the identity
        sub_sample: collect from a quarter of the places

    """

    name = "non_local"
    chosen: NonLocalOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        embeds = self.chosen.pairwise not in ("gaussian", "uniform")
        inner = self.chosen.inner or max(channels // 2, 1)
        compared = inner if embeds else channels
        self.scale = 1 / math.sqrt({"inner": compared, "channels": channels, "none": 1}[self.chosen.scale])
        self.theta = EachPlace(channels, inner) if embeds else nn.Identity()
        self.phi = EachPlace(channels, inner) if embeds else nn.Identity()
        self.g = EachPlace(channels, inner)
        self.out = EachPlace(inner, channels)
        self.norm = nn.BatchNorm2d(channels)
        # ceil_mode, so that an odd last row or column counts, and a single place stays one.
        self.pool = nn.MaxPool2d(2, ceil_mode=True) if self.chosen.sub_sample else None
        if self.chosen.pairwise == "concat":
            self.compare = nn.Linear(2 * inner, 1, bias=False)
        if self.chosen.zero_init:
            nn.init.zeros_(self.norm.weight)

    def attention(self, x: Features) -> Maps:
        """Return `pairwise`: how much place i takes from place j, (B, N, M), places counted row by row."""
        self.check_input(x)
        with without_float16(x) as wide:
            return {"pairwise": self._weights(*self._places(wide))}

    def apply_attention(self, x: Features, maps: Maps) -> Features:
        """Return `x` plus what each place collects under the given pairwise map."""
        with without_float16(x) as wide:
            values = self.g(self._places(wide)[1])
            return self._add(x, maps["pairwise"].to(values.dtype) @ values)

    def forward(self, x: Features) -> Features:
        """Return `x` plus what each place collects from all places, in memory that grows with N."""
        self.check_input(x)
        with without_float16(x) as wide:
            return self._add(x, self._collect(*self._places(wide)))

    def _places(self, x: Features) -> tuple[Tokens, Tokens]:
        # Who collects (B, N, C), and from whom (B, M, C).
        here = as_tokens(x)
        return here, here if self.pool is None else as_tokens(self.pool(x))

    def _weights(self, here: Tokens, there: Tokens) -> Tensor:
        if self.chosen.pairwise == "uniform":
            return here.new_ones(here.shape[0], here.shape[1], there.shape[1]) / there.shape[1]  # B, N, M
        if self.chosen.pairwise == "concat":
            a, b = self._compare(here, there)
            return torch.relu(a[:, :, None] + b[:, None, :]) / b.shape[1]  # B, N, M
        scores = self.scale * self.theta(here) @ self.phi(there).transpose(1, 2)  # B, N, M
        return scores / scores.shape[2] if self.chosen.pairwise == "dot" else scores.softmax(2)

    def _compare(self, here: Tokens, there: Tokens) -> tuple[Tensor, Tensor]:
        # wᵀ [θ; φ] = a + b, one number for each place i (B, N) and one for each place j (B, M).
        for_theta, for_phi = weights_like(self.compare.weight, here)[0].chunk(2)
        return self.theta(here) @ for_theta, self.phi(there) @ for_phi

    def _collect(self, here: Tokens, there: Tokens) -> Tokens:
        # Σ_j a_ij g(x_j), without the map of all a_ij where that costs less.
        if map_is_cheaper(self.chosen.pairwise, here, there, self.g.out_features):
            return self._weights(here, there) @ self.g(there)
        if self.chosen.pairwise == "embedded":
            return softmax_sum(self.theta(here), self.phi(there), self.g(there), self.scale)
        if self.chosen.pairwise == "gaussian":
            # The weights of a place sum to 1, so g may follow the average. It does, because the kernels that save
            # memory want queries, keys and values of one width.
            return self.g(softmax_sum(here, there, there, self.scale))
        if self.chosen.pairwise == "uniform":
            return mean_of_all(self.g(there), here)
        if self.chosen.pairwise == "dot":
            return dot_sum(self.phi(there), self.g(there), self.theta(here), self.scale)
        return rectified_sum(*self._compare(here, there), self.g(there))

    def _add(self, x: Features, collected: Tokens) -> Features:
        out = self.out(collected).transpose(1, 2).reshape(x.shape)
        # In the memory order of x: the norm and the sum of two orders are slow.
        return (x + in_float32(self.norm, out.contiguous() if x.is_contiguous() else out)).to(x.dtype)
