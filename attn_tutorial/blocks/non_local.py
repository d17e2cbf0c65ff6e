"""Non-local: every place looks at every other place."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps
from attn_tutorial.blocks.options import Pairwise, Scale

Tokens = Float[Tensor, "batch place width"]
_SMALL_MAP = 2**19
"""Numbers in a map, a mebibyte of bfloat16 for an image: that of 26 × 26 places is smaller, of 27 × 27 larger."""


class NonLocal(AttentionBlock):
    """Non-local block: y_i = Σ_j a_ij g(x_j), out = x + norm(W y), over the N = H·W places i and M = N places j.

    - "embedded": a_ij = softmax_j(s · θ(x_i)ᵀ φ(x_j))
    - "gaussian": a_ij = softmax_j(s · x_iᵀ x_j), without θ and φ
    - "dot": a_ij = s · θ(x_i)ᵀ φ(x_j) / M
    - "concat": a_ij = relu(wᵀ [θ(x_i); φ(x_j)]) / M

    With sub_sample, the places j are those of x behind a 2×2 max pooling, M = ⌈H/2⌉·⌈W/2⌉. (The equation pools x; the
    authors' code pools φ and g.)

    `forward` does not build a large N × M map, so that its memory grows with N; `attention` does build it. (A map that
    is built is smaller than what takes its place, or, in bfloat16 on a CPU, than a mebibyte an image.)

    Parameters: 4Ci + 3i + C (gaussian 2Ci + i + C; concat 2i more), and 2C for the norm; with i = C/2,
    2C² + 2.5C + 2C. Training needs more than one place in the batch, as batch normalisation does.

    Source: Wang, Girshick, Gupta, He, Non-local Neural Networks, 2018, section 3 (equation 1; Gaussian 2,
    embedded 3, dot 4, concatenation 5; the block 6; sub-sampling 3.3); zero_init in section 4.1 (arXiv 1711.07971).

    Args:
        channels: C
        pairwise: how two places are compared
        inner: i, the width of θ, φ and g; by default ⌊C/2⌋, and at least 1
        scale: s, 1/√width of the compared vectors ("inner"), 1/√C ("channels", as in timm) or 1 ("none",
            as in the paper); "concat" has none
        zero_init: start the norm's scale at zero, so that the untrained block is the identity
        sub_sample: collect from a quarter of the places

    """

    name = "non_local"

    def __init__(
        self,
        channels: int,
        pairwise: Pairwise = "embedded",
        inner: int | None = None,
        scale: Scale = "inner",
        zero_init: bool = True,
        sub_sample: bool = False,
    ) -> None:
        super().__init__(
            channels, pairwise=pairwise, inner=inner, scale=scale, zero_init=zero_init, sub_sample=sub_sample
        )
        inner = inner or max(channels // 2, 1)
        compared = channels if pairwise == "gaussian" else inner
        self.pairwise = pairwise
        self.scale = 1 / math.sqrt({"inner": compared, "channels": channels, "none": 1}[scale])
        self.theta = nn.Identity() if pairwise == "gaussian" else _EachPlace(channels, inner)
        self.phi = nn.Identity() if pairwise == "gaussian" else _EachPlace(channels, inner)
        self.g = _EachPlace(channels, inner)
        self.out = _EachPlace(inner, channels)
        self.norm = nn.BatchNorm2d(channels)
        # ceil_mode, so that an odd last row or column is seen, and a single place is left one.
        self.pool = nn.MaxPool2d(2, ceil_mode=True) if sub_sample else None
        if pairwise == "concat":
            self.compare = nn.Linear(2 * inner, 1, bias=False)
        if zero_init:
            nn.init.zeros_(self.norm.weight)

    def attention(self, x: Features) -> Maps:
        """`pairwise`: how much place i takes from place j, (B, N, M), places counted row by row."""
        self.check_input(x)
        return {"pairwise": self._weights(*self._places(x))}

    def apply_attention(self, x: Features, maps: Maps) -> Features:
        """`x` plus what each place collects under the given pairwise map."""
        return self._add(x, maps["pairwise"] @ self.g(self._places(x)[1]))

    def forward(self, x: Features) -> Features:
        """`x` plus what each place collects from all places, in memory that grows with N."""
        self.check_input(x)
        return self._add(x, self._collect(*self._places(x)))

    def _places(self, x: Features) -> tuple[Tokens, Tokens]:
        # Who collects (B, N, C), and from whom (B, M, C).
        here = _tokens(x)
        return here, here if self.pool is None else _tokens(self.pool(x))

    def _weights(self, here: Tokens, there: Tokens) -> Tensor:
        if self.pairwise == "concat":
            a, b = self._compare(here, there)
            return torch.relu(a[:, :, None] + b[:, None, :]) / b.shape[1]  # B, N, M
        scores = self.scale * self.theta(here) @ self.phi(there).transpose(1, 2)  # B, N, M
        return scores / scores.shape[2] if self.pairwise == "dot" else scores.softmax(2)

    def _collect(self, here: Tokens, there: Tokens) -> Tokens:
        if self.pairwise in ("embedded", "gaussian"):
            return self._collect_by_softmax(here, there)
        # What takes the map's place: one matrix (dot) or running sums (concat). Where the map is the smaller of the
        # two, it is the faster one too; but an exported graph, whose sizes are free, has no choice.
        places, inner = here.shape[1] + there.shape[1], self.g.out_features
        instead = inner**2 if self.pairwise == "dot" else 2 * inner * places
        if not torch.compiler.is_exporting() and here.shape[1] * there.shape[1] <= instead:
            return self._weights(here, there) @ self.g(there)
        if self.pairwise == "concat":
            return _collect_rectified(*self._compare(here, there), self.g(there))
        # (θ φᵀ) g = θ (φᵀ g): the N × M product is never needed.
        summary = self.phi(there).transpose(1, 2) @ self.g(there)  # B, i, i
        return self.theta(here) @ summary * (self.scale / there.shape[1])

    def _collect_by_softmax(self, here: Tokens, there: Tokens) -> Tokens:
        if not torch.compiler.is_exporting() and _map_is_faster(here, there):
            return self._weights(here, there) @ self.g(there)
        if self.pairwise == "gaussian":
            # The weights of a place sum to 1, so g may follow the average. It does, because the kernels of
            # scaled_dot_product_attention that save memory want queries, keys and values of one width.
            return self.g(self._average(here, there, there))
        return self._average(self.theta(here), self.phi(there), self.g(there))

    def _compare(self, here: Tokens, there: Tokens) -> tuple[Tensor, Tensor]:
        # wᵀ [θ; φ] = a + b, one number for each place i (B, N) and one for each place j (B, M).
        for_theta, for_phi = self.compare.weight[0].chunk(2)
        return self.theta(here) @ for_theta, self.phi(there) @ for_phi

    def _average(self, query: Tokens, key: Tokens, value: Tokens) -> Tokens:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)  # B, 1 head, N, width
        if not torch.compiler.is_exporting() and query.is_cpu and query.requires_grad and query.shape[0] == 1:
            return self._average_of_one_image(query, key, value)
        return F.scaled_dot_product_attention(query, key, value, scale=self.scale).squeeze(1)

    def _average_of_one_image(self, query: Tensor, key: Tensor, value: Tensor) -> Tokens:
        # On the CPU, the backward of a single image and head is many times slower with several threads than with one
        # (16 s instead of 0.3 s for 96 × 96 places). Two halves of the queries, as two heads, avoid that.
        places = query.shape[2]
        halves = F.pad(query, (0, 0, 0, places % 2)).unflatten(2, (2, -1)).squeeze(1)  # 1, 2 heads, ⌈N/2⌉, width
        key, value = key.expand(-1, 2, -1, -1), value.expand(-1, 2, -1, -1)
        return F.scaled_dot_product_attention(halves, key, value, scale=self.scale).flatten(1, 2)[:, :places]

    def _add(self, x: Features, collected: Tokens) -> Features:
        out = self.out(collected).transpose(1, 2).reshape(x.shape)
        # In the memory order of x: the norm and the sum of two orders are slow.
        return x + self.norm(out.contiguous() if x.is_contiguous() else out)


class _EachPlace(nn.Linear):
    """A linear layer; tokens (B, N, C) go through as a 1×1 convolution: a tenth less time on a CPU, both ways."""

    def forward(self, tokens: Tensor) -> Tensor:
        """The layer's output for tokens (B, N, C), or for vectors (..., C) as of any linear layer."""
        if tokens.ndim != 3 or torch.compiler.is_exporting():
            return super().forward(tokens)
        row = tokens.transpose(1, 2).unsqueeze(2)  # B, C, 1, N, of which no number moves: it is channels-last
        return F.conv2d(row, self.weight[:, :, None, None], self.bias).squeeze(2).transpose(1, 2)


def _map_is_faster(here: Tokens, there: Tokens) -> bool:
    # In bfloat16 on a CPU, scaled_dot_product_attention takes two to four times as long as the map. A large map is not
    # built for all that, as it takes too much memory.
    precision = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else here.dtype
    return here.is_cpu and precision == torch.bfloat16 and here.shape[1] * there.shape[1] <= _SMALL_MAP


def _tokens(x: Features) -> Tokens:
    # One copy here (none for channels-last x) saves one in each linear layer, and the kernels of
    # scaled_dot_product_attention that save memory want each place's features side by side.
    return x.flatten(2).transpose(1, 2).contiguous()


def _collect_rectified(a: Tensor, b: Tensor, g: Tokens) -> Tokens:
    """Σ_j relu(a_i + b_j) g_j / M for a (B, N), b (B, M), g (B, M, i), in memory that grows with N + M.

    relu lets the places j with b_j > -a_i through, and the sum is a_i Σ g_j + Σ b_j g_j over these. With all b_j and
    -a_i in one falling list, they are those that stand before -a_i: both sums are running sums, read at its rank.
    """
    wide = torch.promote_types(g.dtype, torch.float32)  # running sums of half precision would drift
    a, b, values = a.to(wide), b.to(wide), g.to(wide)
    order = torch.cat([b, -a], 1).argsort(1, descending=True)  # B, M + N
    terms = F.pad(torch.cat([values, b.unsqueeze(2) * values], 2), (0, 0, 0, a.shape[1]))  # B, M + N, 2i
    sums = _rows(terms, order).cumsum(1)
    rank = order.argsort(1)[:, b.shape[1] :]  # B, N: where each -a_i stands
    of_g, of_bg = _rows(sums, rank).chunk(2, 2)  # each B, N, i
    return ((a.unsqueeze(2) * of_g + of_bg) / b.shape[1]).to(g.dtype)


def _rows(table: Tensor, index: Tensor) -> Tensor:
    return table.gather(1, index.unsqueeze(2).expand(-1, -1, table.shape[2]))
