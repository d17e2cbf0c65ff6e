"""What the page on copies shows of each block: what is wrong, what was measured, and the reproduction's code."""

import inspect
import re
import textwrap
from typing import get_args

import pandas as pd
from IPython.display import Markdown, display

from attn_tutorial.figures import show_table
from attn_tutorial.pages.copies import channels, context, halves, pairs, places, strips
from attn_tutorial.pages.copies.copy import Copy, Kind, seeded

_FAMILIES = (channels, context, halves, places, strips, pairs)
COPIES: tuple[Copy, ...] = tuple(copy for family in _FAMILIES for copy in family.COPIES)
_LONGEST = 130  # characters of an error message that a table shows
_HOW_TO_SEE: dict[Kind, str] = {
    "It stops with an error, or gives NaN": "Try 8 × 12, 1 × 1 and few channels",
    "It ignores a part of its input": "Look where the gradient of the gate is zero",
    "A step is missing": "Print the smallest and the largest gate",
    "A step too many": "Print the smallest gate, and output / input",
    "Axes, images or memory are mixed up": "Compare a batch with its first image, and square with wide features",
    "Other sizes or operations than the paper's": "Count the parameters, and print kernels and hidden units",
}


def copies_of(block: str) -> list[Copy]:
    """Return the copies of one block."""
    return [copy for copy in COPIES if copy.block == block]


def show_copies_in_short() -> None:
    """Display how many copies were tried, and how many can run without an error."""
    stops = sum(copy.kind == "It stops with an error, or gives NaN" for copy in COPIES)
    display(
        Markdown(
            f"We reproduced {len(COPIES)} differences from {len(_repositories())} public repositories and one article: "
            f"{stops} of them show as an error or as NaN, and the other {len(COPIES) - stops} can run without either."
        )
    )


def show_kinds() -> None:
    """Display how many copies have each kind of difference, and how to see it."""
    show_table(kind_table(), "Kinds of differences, and how to see them.")


def kind_table() -> pd.DataFrame:
    """Return a row for each kind of difference: how many copies have it, which blocks, and how to see it."""
    rows = {}
    for kind in get_args(Kind):
        having = [copy for copy in COPIES if copy.kind == kind]
        blocks = ", ".join(dict.fromkeys(copy.block for copy in having))
        rows[kind] = {"copies": len(having), "blocks": blocks, "how to see it": _HOW_TO_SEE[kind]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("difference")


def show_copies(block: str, seed: int = 0) -> None:
    """Display what is wrong in the copies of a block, and what was measured of each reproduction.

    Args:
        block: the name of a block, or "psa".
        seed: of the random features and weights.

    """
    display(Markdown("\n\n".join(describe(copy) for copy in copies_of(block))))
    show_table(measured_table(block, seed), f"Measured on random features: copies of {block}.")


def measured_table(block: str, seed: int = 0) -> pd.DataFrame:
    """Return a row for each measurement of a block's copies: the reproduction's number, and the right form's."""
    with seeded(seed):
        rows = [
            {"no.": f"{number}", "measured": each.what, "copy": _text(each.copy), "right form": _text(each.right)}
            for number, copy in enumerate(copies_of(block), 1)
            for each in copy.measure()
        ]
    return pd.DataFrame(rows)


def describe(copy: Copy) -> str:
    """Return in Markdown where a copy is, what is wrong, how to see it, and the right form."""
    number = copies_of(copy.block).index(copy) + 1
    lines = [f"**{number}. {copy.kind}.** {_places(copy)}", ""]
    if copy.paper_says:
        lines.append(f"- *Paper:* {copy.paper_says}")
    lines += [
        f"- *Copy:* {copy.wrong}",
        f"- *See it:* `{copy.one_line}`",
        f"- *Right:* {copy.right}",
    ]
    return "\n".join(lines)


def show_reproductions(block: str) -> None:
    """Display the code of the reproductions of a block's copies."""
    parts = dict.fromkeys(part for copy in copies_of(block) for part in copy.code)
    display(Markdown("\n\n".join(f"```python\n{_source(part)}\n```" for part in parts)))


def show_ela_forms() -> None:
    """Display the forms of ELA that are found in public code."""
    rows = {
        name: {
            "kernel": kernel,
            "channels an output reads": mixed,
            "groups of the norm": groups,
            "convolutions": convolutions,
            "parameters, C = 64": strips.ela_parameters(kernel, mixed, convolutions),
        }
        for name, kernel, mixed, groups, convolutions in strips.ELA_FORMS
    }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("form")
    show_table(frame, "Forms of ELA in public code. The four sizes are those that several copies state.")


def _repositories() -> set[str]:
    return {repository for copy in COPIES for repository, _ in copy.where if repository}


def _places(copy: Copy) -> str:
    return "; ".join(
        f"[{repository}](https://github.com/{repository}), `{path}`" if repository else path[:1].upper() + path[1:]
        for repository, path in copy.where
    )


def _text(value: float | str) -> str:
    if isinstance(value, str):
        return textwrap.shorten(value, _LONGEST, placeholder=" …")
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _source(part: object) -> str:
    source = inspect.getsource(part)  # type: ignore[arg-type]
    return re.sub(r"  # (type: ignore|noqa).*", "", source).rstrip()
