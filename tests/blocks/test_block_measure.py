"""Parameters, operations, time and memory, against what they must be."""

import random
import time

import pytest
import torch
from torch import nn

from attn_tutorial.blocks import build_block
from attn_tutorial.blocks.measure import count_flops, count_parameters, peak_bytes, seconds_in_turn


def features(*shape):
    return torch.randn(shape, requires_grad=True)


def test_operations_of_a_convolution():
    conv = nn.Conv2d(4, 6, 3, padding=1)
    assert count_parameters(conv) == 6 * (4 * 9 + 1)
    assert count_flops(conv, features(2, 4, 5, 3)) == 2 * (2 * 5 * 3) * 6 * 4 * 9


@pytest.mark.parametrize("pairwise", ["embedded", "dot"])
def test_operations_of_non_local(pairwise):
    """Four projections; then the map and its use, or one matrix and its use."""
    batch, channels, inner, places = 2, 32, 16, 20 * 20
    block = build_block("non_local", channels, pairwise=pairwise)
    expected = 4 * batch * places * channels * inner
    expected += 2 * batch * places * inner * (places if pairwise == "embedded" else inner)
    assert count_flops(block, features(batch, channels, 20, 20)) == 2 * expected


def test_memory_is_that_of_what_is_made():
    x = features(1, 3, 10, 10)
    assert peak_bytes(lambda x: x, x) == x.nbytes  # the gradient of x alone
    # Twice the features of the forward pass is made, and kept; then come its gradient and that of x.
    assert peak_bytes(lambda x: torch.cat([x, x], 1).sigmoid()[:, :3], x) >= 3 * x.nbytes
    assert peak_bytes(lambda x: x * 2, x) == 2 * x.nbytes


def test_memory_that_was_freed_counts_no_more():
    def steps(x):
        with torch.no_grad():
            for _ in range(50):
                x + 1
        return x

    x = features(1, 3, 10, 10)
    assert peak_bytes(steps, x) == x.nbytes


def work(seconds):
    """Keep the processor busy: what sleeps takes none of its time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_the_functions_take_turns_and_the_first_round_is_not_counted():
    turns = []

    def noted(name, seconds):
        def function(x):
            turns.append(name)
            work(seconds)
            return 1 * x

        return function

    seconds = seconds_in_turn({"slow": noted("slow", 0.02), "fast": noted("fast", 0)}, features(1, 1, 1, 1), 2)
    assert turns == 3 * ["slow", "fast"]
    assert [len(each) for each in seconds.values()] == [2, 2]
    assert min(seconds["slow"]) >= 0.02 > min(seconds["fast"])


def test_the_order_of_the_turns_can_be_shuffled():
    turns = []
    functions = {name: lambda x, name=name: turns.append(name) or 1 * x for name in "abcd"}
    seconds_in_turn(functions, features(1, 1, 1, 1), 9, random.Random(0))
    rounds = [tuple(turns[place : place + 4]) for place in range(0, len(turns), 4)]
    assert all(sorted(each) == list("abcd") for each in rounds)
    assert len(set(rounds)) > 5


def test_timing_has_the_backward_pass_too():
    class Slow(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            work(0.02)
            return gradient

    assert seconds_in_turn({"slow": Slow.apply}, features(1, 1, 1, 1), 1)["slow"][0] >= 0.02
