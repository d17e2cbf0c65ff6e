"""Non-local: every place looks at every other place."""

import math

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps
from attn_tutorial.blocks.options import Pairwise, Scale

Tokens = Float[Tensor, "batch place width"]


class NonLocal(AttentionBlock):
    """Non-local block: y_i = Σ_j a_ij g(x_j), out = x + norm(W y), over the N = H·W places i and j.

    - "embedded": a_ij = softmax_j(s · θ(x_i)ᵀ φ(x_j))
    - "gaussian": a_ij = softmax_j(s · x_iᵀ x_j), without θ and φ
    - "dot": a_ij = s · θ(x_i)ᵀ φ(x_j) / N

    `forward` never builds the N × N map, so that its memory grows with N; `attention` does build it.

    Parameters: 4Ci + 3i + C (gaussian 2Ci + i + C), and 2C for the norm; with i = C/2, 2C² + 2.5C + 2C.
    Training needs more than one place in the batch, as batch normalisation does.

    Source: Wang, Girshick, Gupta, He, Non-local Neural Networks, 2018, section 3 (equation 1; Gaussian 2,
    embedded 3, dot 4; the block 6); zero_init in section 4.1 (arXiv 1711.07971).

    Args:
        channels: C
        pairwise: how two places are compared
        inner: i, the width of θ, φ and g; by default ⌊C/2⌋, and at least 1
        scale: s, 1/√width of the compared vectors ("inner"), 1/√C ("channels", as in timm) or 1 ("none",
            as in the paper)
        zero_init: start the norm's scale at zero, so that the untrained block is the identity

    """

    name = "non_local"

    def __init__(
        self,
        channels: int,
        pairwise: Pairwise = "embedded",
        inner: int | None = None,
        scale: Scale = "inner",
        zero_init: bool = True,
    ) -> None:
        super().__init__(channels, pairwise=pairwise, inner=inner, scale=scale, zero_init=zero_init)
        inner = inner or max(channels // 2, 1)
        compared = channels if pairwise == "gaussian" else inner
        self.pairwise = pairwise
        self.scale = 1 / math.sqrt({"inner": compared, "channels": channels, "none": 1}[scale])
        self.theta = nn.Identity() if pairwise == "gaussian" else nn.Linear(channels, inner)
        self.phi = nn.Identity() if pairwise == "gaussian" else nn.Linear(channels, inner)
        self.g = nn.Linear(channels, inner)
        self.out = nn.Linear(inner, channels)
        self.norm = nn.BatchNorm2d(channels)
        if zero_init:
            nn.init.zeros_(self.norm.weight)

    def attention(self, x: Features) -> Maps:
        """`pairwise`: how much place i takes from place j, (B, N, N), places counted row by row."""
        tokens = _tokens(x)  # B, N, C
        scores = self.scale * self.theta(tokens) @ self.phi(tokens).transpose(1, 2)  # B, N, N
        return {"pairwise": scores / scores.shape[2] if self.pairwise == "dot" else scores.softmax(2)}

    def apply_attention(self, x: Features, maps: Maps) -> Features:
        """`x` plus what each place collects under the given pairwise map."""
        return self._add(x, maps["pairwise"] @ self.g(_tokens(x)))

    def forward(self, x: Features) -> Features:
        """`x` plus what each place collects from all places, in memory that grows with N."""
        return self._add(x, self._collect(_tokens(x)))

    def _collect(self, tokens: Tokens) -> Tokens:
        if self.pairwise == "dot":
            # (θ φᵀ) g = θ (φᵀ g): the N × N product is never needed.
            summary = self.phi(tokens).transpose(1, 2) @ self.g(tokens)  # B, i, i
            return self.theta(tokens) @ summary * (self.scale / tokens.shape[1])
        if self.pairwise == "gaussian":
            # The weights of a place sum to 1, so g may follow the average. It does, because the kernels of
            # scaled_dot_product_attention that save memory want queries, keys and values of one width.
            return self.g(self._average(tokens, tokens, tokens))
        return self._average(self.theta(tokens), self.phi(tokens), self.g(tokens))

    def _average(self, query: Tokens, key: Tokens, value: Tokens) -> Tokens:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)  # B, 1 head, N, width
        return F.scaled_dot_product_attention(query, key, value, scale=self.scale).squeeze(1)

    def _add(self, x: Features, collected: Tokens) -> Features:
        return x + self.norm(self.out(collected).transpose(1, 2).reshape(x.shape))


def _tokens(x: Features) -> Tokens:
    # One copy here (none for channels-last x) saves one in each linear layer, and the kernels of
    # scaled_dot_product_attention that save memory want each place's features side by side.
    return x.flatten(2).transpose(1, 2).contiguous()
