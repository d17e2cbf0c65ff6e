"""Write a ledger's frame as a file for other tools."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from attn_tutorial.errors import InputError
from attn_tutorial.paths import user_path

if TYPE_CHECKING:
    import pandas as pd

_KINDS = (".csv", ".parquet")


def write_table(frame: "pd.DataFrame", out: Path) -> None:
    """Write a frame as CSV or Parquet, either completely or not at all. An existing file is replaced.

    Args:
        frame: the table; its index is not written.
        out: the file; its ending, .csv or .parquet, decides the format.

    Raises:
        InputError: the ending is another one, or the file cannot be written.

    """
    with new_table(out) as temporary:
        if out.suffix == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)


@contextlib.contextmanager
def new_table(out: Path) -> Iterator[Path]:
    """Give the path of a temporary file, which takes the place of `out` at the end, if there was no error.

    Raises:
        InputError: `out` does not end in .csv or .parquet, or the file cannot be written.

    """
    out = user_path(out, "out")
    if out.suffix not in _KINDS:
        raise InputError(f"--out must be a file that ends in {' or '.join(_KINDS)}, but got {out}.")
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(out)
    except OSError as error:
        raise InputError(
            f"--out must be a file in a folder that can be written, but {out} cannot be written "
            f"({error.strerror or error}). Name another file."
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
