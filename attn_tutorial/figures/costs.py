"""What a few modules cost, as a table for their chapter."""

from collections.abc import Mapping
from statistics import median

import pandas as pd
from torch import Tensor, nn

from attn_tutorial.blocks.measure import count_flops, count_parameters, seconds_in_turn
from attn_tutorial.training import thread_count

_ROUNDS = 11


def cost_table(modules: Mapping[str, nn.Module], x: Tensor) -> pd.DataFrame:
    """Count and time modules on the same features.

    Args:
        modules: by name.
        x: the features, (B, C, H, W).

    Returns:
        a row a module; columns: `parameters`; `MFLOP`, millions of floating-point operations of a forward pass of the
        batch, see `blocks.measure.count_flops`; `ms`, milliseconds of a forward and a backward pass of the batch on one
        thread, the median over rounds in which the modules take turns.

    """
    with thread_count(1):
        seconds = seconds_in_turn(modules, x.detach().requires_grad_(), _ROUNDS)
    rows = {
        name: {
            "parameters": f"{count_parameters(module):,}",
            "MFLOP": f"{count_flops(module, x) / 1e6:,.2f}",
            "ms": f"{1000 * median(seconds[name]):.2f}",
        }
        for name, module in modules.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")
