"""A ledger's frame as a file for other tools."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from attn_tutorial.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_KINDS = (".csv", ".parquet")


def write_table(frame: "pd.DataFrame", out: Path) -> None:
    """Write a frame as CSV or Parquet, whole or not at all, in place of a file that may be there.

    Args:
        frame: the table; its index is not written.
        out: the file; its end says the kind, .csv or .parquet.

    Raises:
        InputError: another kind, or a place that cannot be written to.

    """
    if out.suffix not in _KINDS:
        raise InputError(f"--out {out} was given; allowed are files that end in {' or '.join(_KINDS)}")
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        if out.suffix == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)
        temporary.replace(out)
    except OSError as error:
        raise InputError(
            f"--out {out} was given and cannot be written ({error.strerror or error}): name another file"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
