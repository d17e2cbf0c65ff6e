"""Measure what modules, blocks and whole networks cost: parameters, operations, time and memory. Imports torch."""

import random
from collections.abc import Iterable, Mapping
from math import comb
from statistics import median

import pandas as pd
import torch
from torch import Tensor, nn

from attn_tutorial.analysis.outcomes import BASELINE, check_baseline
from attn_tutorial.blocks import build_block
from attn_tutorial.blocks.measure import count_flops, count_parameters, peak_bytes, seconds_in_turn
from attn_tutorial.datasets import CLASS_COUNT
from attn_tutorial.study import PlannedRun
from attn_tutorial.training import build_network, thread_count

Shape = tuple[int, int, int, int]
YARDSTICK = "3×3 convolution"
"""Measured beside the blocks: a basic unit, to which a block is added, contains two of these."""
_MODULE_ROUNDS = 11


def module_costs(modules: Mapping[str, nn.Module], x: Tensor) -> pd.DataFrame:
    """Count and time modules on the same features, on one thread.

    Args:
        modules: the modules by name.
        x: features of shape (B, C, H, W).

    Returns:
        a row for each module; columns: `parameters`; `MFLOP`, millions of floating-point operations of a forward pass
        of the batch, see `blocks.measure.count_flops`; `ms`, milliseconds of a forward and a backward pass of the
        batch, the median over rounds in which the modules take turns.

    """
    with thread_count(1):
        seconds = seconds_in_turn(modules, x.detach().requires_grad_(), _MODULE_ROUNDS)
    rows = {
        name: {
            "parameters": count_parameters(module),
            "MFLOP": count_flops(module, x) / 1e6,
            "ms": 1000 * median(seconds[name]),
        }
        for name, module in modules.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def block_costs(names: Iterable[str], shapes: Mapping[str, Shape], rounds: int) -> pd.DataFrame:
    """Measure each block, and a 3×3 convolution, on random features of each shape, on one thread.

    Args:
        names: the blocks' names, "se" among them.
        shapes: shapes (B, C, H, W) of features by a name for the reader.
        rounds: number of timed rounds; the blocks take turns in each, in an order that changes from round to round.

    Returns:
        a row for each block and shape; columns: `block`, `shape`, `parameters`, `kFLOP` (of one image, forward), `ms`
        (of the batch, forward and backward), `time` (the median over the rounds of its time ÷ SE's), `memory` (the most
        memory that a forward and a backward pass take, as a multiple of the features).

    """
    names = list(names)
    rows = []
    for label, shape in shapes.items():
        channels = shape[1]
        modules: dict[str, nn.Module] = {name: build_block(name, channels) for name in names}
        modules[YARDSTICK] = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
        with thread_count(1):
            seconds = seconds_in_turn(modules, x, rounds, random.Random(0))
        for name, module in modules.items():
            rows.append(
                {
                    "block": name,
                    "shape": label,
                    "parameters": count_parameters(module),
                    "kFLOP": count_flops(module, x) / shape[0] / 1e3,
                    "ms": 1000 * median(seconds[name]),
                    "time": _median_ratio(seconds[name], seconds["se"]),
                    "memory": peak_bytes(module, x) / x.nbytes,
                }
            )
    return pd.DataFrame(rows)


def network_costs(runs: Iterable[PlannedRun], batch: int, rounds: int, baseline: str = BASELINE) -> pd.DataFrame:
    """Count and time the networks of a study in this process, on one thread, on random canvases.

    Args:
        runs: one run of each variant, the baseline among them.
        batch: number of canvases in a pass.
        rounds: number of timed rounds; the networks take turns in each, in an order that changes from round to round.
        baseline: the variant that times are compared with.

    Returns:
        a row for each variant; columns: `variant`; `parameters` (trained); `MFLOP` (millions of floating-point
        operations of a forward pass of one canvas, see `blocks.measure.count_flops`); `ms` (of a forward and a backward
        pass of the batch); `time` (the median over the rounds of its time ÷ the baseline's); `time_low` and `time_high`
        (the 95 % interval of this median; with fewer than six rounds, the least and the greatest value); `MB` (the most
        memory that the pass takes).

    Raises:
        InputError: The baseline is not among the runs.

    """
    runs = list(runs)
    check_baseline(baseline, [run.variant for run in runs], "network")
    networks: dict[str, nn.Module] = {}
    for run in runs:
        network = build_network(run.spec, CLASS_COUNT)
        networks[run.variant] = _ToldAll(network) if network.oracle else network
    side = runs[0].spec.clutter.canvas
    x = torch.randn((batch, 3, side, side), generator=torch.Generator().manual_seed(0)).requires_grad_()
    with thread_count(1):  # more threads would only wait for each other
        seconds = seconds_in_turn(networks, x, rounds, random.Random(0))
        ratios = {variant: sorted(_ratios(own, seconds[baseline])) for variant, own in seconds.items()}
        left_out = _left_out(rounds)
        rows = [
            {
                "variant": variant,
                "parameters": sum(weights.numel() for weights in network.parameters() if weights.requires_grad),
                "MFLOP": count_flops(network, x) / batch / 1e6,
                "ms": 1000 * median(seconds[variant]),
                "time": median(ratios[variant]),
                "time_low": ratios[variant][left_out],
                "time_high": ratios[variant][-1 - left_out],
                "MB": peak_bytes(network, x) / 1e6,
            }
            for variant, network in networks.items()
        ]
    return pd.DataFrame(rows)


class _ToldAll(nn.Module):
    """An oracle network that is told that the target is everywhere, so that canvases alone are its input."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(torch.cat((x, torch.ones_like(x[:, :1])), 1))


def _median_ratio(own: list[float], other: list[float]) -> float:
    return median(_ratios(own, other))


def _ratios(own: list[float], other: list[float]) -> list[float]:
    # Round by round: a machine whose speed drifts changes both times of one round alike.
    return [mine / theirs for mine, theirs in zip(own, other, strict=True)]


def _left_out(count: int) -> int:
    """Return how many of the smallest and of the largest values a 95 % interval of a median leaves out.

    The number of values below the median is binomial, whatever their distribution.
    """
    place = 0
    while 2 * sum(comb(count, below) for below in range(place + 1)) <= 0.05 * 2**count:
        place += 1
    return max(0, place - 1)
