"""The checks for a block of one's own: the package's blocks pass them, and each kind of mistake fails its own."""

import pytest
import torch
from torch import nn

from attn_tutorial.blocks import BLOCK_NAMES, AttentionBlock, build_block, check_attention_block
from attn_tutorial.errors import InputError


@pytest.mark.parametrize("options", [{"extent": 4}, {"extent": 8, "gather": "conv"}], ids=str)
def test_a_block_whose_summaries_are_few_passes(options):
    assert len(check_attention_block(build_block("gather_excite", 32, **options))) == 11


@pytest.mark.parametrize("name", BLOCK_NAMES)
def test_the_packages_blocks_pass(name):
    held = check_attention_block(build_block(name, 32))
    assert len(held) == len(set(held)) == 11


class Gate(AttentionBlock):
    """A correct block, for the broken ones to differ from in one place."""

    name = "static_gate"

    def __init__(self, channels, at_start="half"):
        super().__init__(channels, at_start=at_start)
        self.layer = nn.Linear(channels, channels)

    def attention(self, x):
        self.check_input(x)
        return {"channel": torch.sigmoid(self.layer(x.mean((2, 3))))[:, :, None, None]}


class OtherShape(Gate):
    def forward(self, x):
        return super().forward(x)[..., :1]


class NotANumber(Gate):
    def attention(self, x):
        self.check_input(x)
        return {"channel": x.std((2, 3), keepdim=True)}


class UnknownKind(Gate):
    def attention(self, x):
        return {"gates": super().attention(x)["channel"]}


class WithoutPlaces(Gate):
    def attention(self, x):
        return {"spatial": super().attention(x)["channel"]}


class TwoWays(Gate):
    def forward(self, x):
        return 1.01 * super().forward(x)


class TwoWaysInTraining(Gate):
    def forward(self, x):
        return super().forward(x) + 0.1 * self.training


class Mixed(Gate):
    def attention(self, x):
        return {"channel": super().attention(x)["channel"].mean(0, keepdim=True).expand(len(x), -1, -1, -1)}


class Detached(Gate):
    def attention(self, x):
        self.check_input(x)
        return {"channel": torch.sigmoid(self.layer(x.mean((2, 3)).detach()))[:, :, None, None]}


class Unused(Gate):
    def __init__(self, channels, at_start="half"):
        super().__init__(channels, at_start)
        self.spare = nn.Linear(2, 2)


class Root(Gate):
    def attention(self, x):
        self.check_input(x)
        return {"channel": self.layer(x.var((2, 3), correction=0).sqrt())[:, :, None, None]}


class OnePrecision(Gate):
    def apply_attention(self, x, maps):
        return x.float() * maps["channel"] if x.dtype == torch.bfloat16 else x * maps["channel"]


class Widening(Gate):
    def apply_attention(self, x, maps):
        return x * maps["channel"] * self.layer.bias.sigmoid()[:, None, None]


class Reordered(Gate):
    def forward(self, x):
        return super().forward(x).contiguous()


class FixedSize(Gate):
    def forward(self, x):
        y = super().forward(x)
        return y if len(x) < 3 or x.shape[3] < 7 else 2 * y


class ForgottenOption(Gate):
    def __init__(self, channels, at_start="half", factor=1.0):
        super().__init__(channels, at_start)
        self.factor = factor

    def attention(self, x):
        return {"channel": self.factor * super().attention(x)["channel"]}


class Unchecked(Gate):
    def attention(self, x):
        return {"channel": torch.sigmoid(self.layer(x.mean((2, 3))))[:, :, None, None]}


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (OtherShape(8), r"(3, 8, 6, 6) became (3, 8, 6, 1)"),
        (NotANumber(8), r"shape (2, 8, 1, 1) gives NaN"),
        (UnknownKind(8), "a map must be called one of channel, spatial, full, pairwise, but got 'gates'"),
        (WithoutPlaces(8), "map 'spatial' of an input (3, 8, 6, 6) must have shape (3, 1, 6, 6), but got (3, 8, 1, 1)"),
        (TwoWays(8), "in training and in evaluation mode: the two results may differ"),
        (TwoWaysInTraining(8), "in training and in evaluation mode: the two results may differ"),
        (Mixed(8), "with and without another one in its batch may differ"),
        (Detached(8), "The gradients equal finite differences"),
        (Unused(8), "the output does not depend on spare.weight, spare.bias"),
        (Root(8), "single colour: the gradient is NaN or infinite for x"),
        (OnePrecision(8), "torch.bfloat16 becomes torch.float32"),
        (Widening(8), "under autocast, an input of torch.bfloat16 becomes torch.float32"),
        (Reordered(8), "the output is in another memory format"),
        (FixedSize(8), "It exports with free batch size, height and width: "),
        (ForgottenOption(8, factor=2.0), "of one built again, with the same weights, may differ"),
        (Unchecked(8), "torch.float32 (8, 5, 4) is accepted: begin attention(x) with self.check_input(x)"),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, nn.Module) else "",
)
def test_each_mistake_is_named(block, message):
    with pytest.raises(InputError) as caught:
        check_attention_block(block)
    assert message in str(caught.value)
    assert str(caught.value).startswith("block 'static_gate' fails ")


def test_the_correct_one_passes_and_is_left_as_it_was():
    block = Gate(8).train().requires_grad_(False)
    before = {key: value.clone() for key, value in block.state_dict().items()}
    state = torch.get_rng_state()
    check_attention_block(block)
    assert block.training
    assert not any(parameter.requires_grad for parameter in block.parameters())
    assert all(torch.equal(value, before[key]) for key, value in block.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_all_mistakes_are_listed():
    class Bad(NotANumber, Unused):
        pass

    with pytest.raises(InputError, match=r"(?s)fails 2 of the 11 checks .*NaN.*does not depend on"):
        check_attention_block(Bad(8))


@pytest.mark.parametrize("thing", [Gate, "se", nn.Linear(2, 2)], ids=["class", "name", "module"])
def test_what_is_no_block_is_refused(thing):
    with pytest.raises(InputError, match="must be an AttentionBlock that is built"):
        check_attention_block(thing)
