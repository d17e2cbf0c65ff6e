import time

import torch
from torch import nn

from attn_tutorial.figures import cost_table


class Slow(nn.Module):
    def forward(self, x):
        end = time.process_time() + 0.005  # busy: what sleeps takes none of the processor's time
        while time.process_time() < end:
            pass
        return x * 1


def test_parameters_and_operations_are_counted():
    convolution = nn.Conv2d(8, 8, 3, padding=1, bias=False)
    table = cost_table({"convolution": convolution, "none": Slow()}, torch.rand(2, 8, 50, 60))
    assert table.loc["convolution", "parameters"] == "576"
    assert table.loc["convolution", "MFLOP"] == f"{2 * 2 * 50 * 60 * 8 * 8 * 9 / 1e6:.2f}"
    assert table.loc["none", ["parameters", "MFLOP"]].tolist() == ["0", "0.00"]


def test_times_are_milliseconds_and_the_features_are_left_alone():
    x = torch.rand(1, 1, 2, 2)
    times = cost_table({"slow": Slow(), "fast": nn.ReLU()}, x)["ms"].astype(float)
    assert 5 <= times["slow"] < 50
    assert times["fast"] < 2
    assert not x.requires_grad
