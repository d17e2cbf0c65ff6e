"""How Non-local's sums over all places are computed: by the map of all weights, or by a kernel that never builds it.

`map_is_cheaper` chooses. Each kernel returns what the map would give, in memory that grows with the number of places.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from attn_tutorial.blocks.base import Features
from attn_tutorial.blocks.float16 import weights_like
from attn_tutorial.blocks.options import Pairwise

Tokens = Float[Tensor, "batch place width"]
_LARGEST_MAP = 2**19
"""The most numbers per image of a map that is built in bfloat16 on a CPU, a mebibyte: 26 × 26 places, not 27 × 27."""


class EachPlace(nn.Linear):
    """A linear layer that reads tokens (B, N, C) as a 1×1 convolution, which takes a tenth less time on a CPU."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the layer's output for tokens (B, N, C), or for vectors (..., C) as any linear layer does."""
        weight, bias = weights_like(self.weight, tokens), weights_like(self.bias, tokens)
        if tokens.ndim != 3 or torch.compiler.is_exporting():
            return F.linear(tokens, weight, bias)
        row = tokens.transpose(1, 2).unsqueeze(2)  # B, C, 1, N; no number moves, because it is channels-last
        return F.conv2d(row, weight[:, :, None, None], bias).squeeze(2).transpose(1, 2)


def as_tokens(x: Features) -> Tokens:
    """Return the features as tokens (B, N, C), places counted row by row."""
    # One copy here (none for channels-last x) saves one in each linear layer, and the kernels of
    # scaled_dot_product_attention that save memory want each place's features side by side.
    return x.flatten(2).transpose(1, 2).contiguous()


def map_is_cheaper(pairwise: Pairwise, here: Tokens, there: Tokens, inner: int) -> bool:
    """Return whether the map of `here` and `there` costs less than its kernel, whose values are `inner` wide."""
    if pairwise == "uniform":
        return False  # its kernel is one mean
    if torch.compiler.is_exporting():
        return False  # the sizes of an exported graph are free, so it cannot choose
    if pairwise in ("embedded", "gaussian"):
        # In bfloat16 on a CPU, scaled_dot_product_attention takes two to four times as long as the map. A large map
        # is still not built, because it takes too much memory.
        precision = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else here.dtype
        return here.is_cpu and precision == torch.bfloat16 and here.shape[1] * there.shape[1] <= _LARGEST_MAP
    # Where the map is smaller than one matrix (dot) or the running sums (concat), it is faster too.
    instead = inner**2 if pairwise == "dot" else 2 * inner * (here.shape[1] + there.shape[1])
    return here.shape[1] * there.shape[1] <= instead


def softmax_sum(query: Tokens, key: Tokens, value: Tokens, scale: float) -> Tokens:
    """Return Σ_j softmax_j(s · q_iᵀ k_j) v_j for queries (B, N, i), keys and values (B, M, i)."""
    query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)  # B, 1 head, N, width
    if not torch.compiler.is_exporting() and query.is_cpu and query.requires_grad and query.shape[0] == 1:
        return _softmax_sum_of_one_image(query, key, value, scale)
    return F.scaled_dot_product_attention(query, key, value, scale=scale).squeeze(1)


def _softmax_sum_of_one_image(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tokens:
    # On the CPU, the backward pass of a single image and head is many times slower with several threads than with one
    # (16 s instead of 0.3 s for 96 × 96 places). Two halves of the queries, as two heads, avoid that.
    places = query.shape[2]
    halves = F.pad(query, (0, 0, 0, places % 2)).unflatten(2, (2, -1)).squeeze(1)  # 1, 2 heads, ⌈N/2⌉, width
    key, value = key.expand(-1, 2, -1, -1), value.expand(-1, 2, -1, -1)
    return F.scaled_dot_product_attention(halves, key, value, scale=scale).flatten(1, 2)[:, :places]


def mean_of_all(value: Tokens, here: Tokens) -> Tokens:
    """Return Σ_j v_j / M for values (B, M, i), the same at each of the N places of `here` (B, N, C)."""
    return value.mean(1, keepdim=True).expand(-1, here.shape[1], -1).contiguous()  # each place's features side by side


def dot_sum(key: Tokens, value: Tokens, query: Tokens, scale: float) -> Tokens:
    """Return Σ_j s · q_iᵀ k_j v_j / M for keys and values (B, M, i), queries (B, N, i)."""
    summary = key.transpose(1, 2) @ value  # B, i, i: (q kᵀ) v = q (kᵀ v), so the N × M product is never needed
    return query @ summary * (scale / key.shape[1])


def rectified_sum(a: Tensor, b: Tensor, value: Tokens) -> Tokens:
    """Return Σ_j relu(a_i + b_j) v_j / M for a (B, N), b (B, M), value (B, M, i).

    relu keeps the places j with b_j > -a_i, and the sum is a_i Σ v_j + Σ b_j v_j over these. In one list of all b_j and
    -a_i, sorted from large to small, they stand before -a_i: both sums are running sums, read at its rank.
    """
    wide = torch.promote_types(value.dtype, torch.float32)  # running sums of half precision would drift
    a, b, values = a.to(wide), b.to(wide), value.to(wide)
    order = torch.cat([b, -a], 1).argsort(1, descending=True)  # B, M + N
    terms = F.pad(torch.cat([values, b.unsqueeze(2) * values], 2), (0, 0, 0, a.shape[1]))  # B, M + N, 2i
    sums = _rows(terms, order).cumsum(1)
    rank = order.argsort(1)[:, b.shape[1] :]  # B, N: where each -a_i stands
    of_v, of_bv = _rows(sums, rank).chunk(2, 2)  # each B, N, i
    return ((a.unsqueeze(2) * of_v + of_bv) / b.shape[1]).to(value.dtype)


def _rows(table: Tensor, index: Tensor) -> Tensor:
    return table.gather(1, index.unsqueeze(2).expand(-1, -1, table.shape[2]))
