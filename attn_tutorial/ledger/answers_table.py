"""Write the answers of many networks as one tidy table, a run at a time."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet
from tqdm import tqdm

from attn_tutorial.ledger.answers import NOT_TESTED, Answers
from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.ledger.reading import LedgerError
from attn_tutorial.ledger.record import Condition, Record
from attn_tutorial.ledger.table_files import new_table
from attn_tutorial.study.study import PlannedRun

_SCHEMA = pa.schema(
    {
        **dict.fromkeys(("run_id", "study", "preset", "variant"), pa.string()),
        "seed": pa.int64(),
        **dict.fromkeys(("split", "types"), pa.string()),
        "severity": pa.int8(),
        "image": pa.int32(),
        "label": pa.int8(),
        "answer": pa.int8(),
    }
)


@dataclass(frozen=True)
class Written:
    """What a table of answers contains."""

    rows: int
    runs: int
    without: int
    """How many finished runs have no answers that can be used, and are not in the table."""


def write_answers(ledger: Ledger, runs: Sequence[PlannedRun], out: Path) -> Written:
    """Write the answers of a plan's finished runs as CSV or Parquet, completely or not at all.

    A row is about one tested image in one condition. Columns: `run_id`, `study`, `preset`, `variant`, `seed`; `split`,
    `types` and `severity`; `image`, the position of the image in its split, counted from 0; `label`, its true class;
    and `answer`, the class that the network names. Only one run is in memory at a time.

    Args:
        ledger: its folder contains the records and answers.
        runs: a plan.
        out: the file; its ending, .csv or .parquet, decides the format. An existing file is replaced.

    Raises:
        InputError: the ending is another one, or the file cannot be written.
        LedgerError: none of the runs has answers.

    """
    rows = written = without = 0
    with new_table(out) as temporary, _writer(temporary, out.suffix) as writer:
        for run in tqdm(runs, "Writing answers", unit=" runs", disable=None):
            for variant, record in ledger.named([run]):
                table = _table(ledger, variant, record)
                if table is None:
                    without += record.status == "done"
                    continue
                writer.write_table(table)
                rows, written = rows + table.num_rows, written + 1
        if not written:
            raise LedgerError(
                f"{ledger.answers_path('<run_id>').parent} must contain the answers of at least one finished run, but "
                "contains none. Records that were made before answers were stored have none: to get them, train these "
                "runs again, into another results folder."
            )
    return Written(rows, written, without)


@contextlib.contextmanager
def _writer(path: Path, ending: str) -> "Iterator[csv.CSVWriter | parquet.ParquetWriter]":
    kind = csv.CSVWriter if ending == ".csv" else parquet.ParquetWriter
    with kind(path, _SCHEMA) as writer:
        yield writer


def _table(ledger: Ledger, variant: str, record: Record) -> pa.Table | None:
    """Return the rows of one run; None if it has no answers."""
    answers = ledger.answers(record)
    if answers is None:
        return None
    about: dict[str, str | int] = {
        "run_id": record.run_id, "study": record.study, "preset": record.preset, "variant": variant,
        "seed": record.spec.seed,
    }  # fmt: skip
    return pa.concat_tables(
        [_rows(about, answers, row.condition) for row in record.accuracy if row.condition in answers.predicted]
    )


def _rows(about: dict[str, str | int], answers: Answers, condition: Condition) -> pa.Table:
    split, types, severity = condition
    image = np.flatnonzero(answers.predicted[condition] != NOT_TESTED)
    single = {**about, "split": split, "types": types, "severity": severity}
    columns = {
        **{name: pa.repeat(pa.scalar(value, _SCHEMA.field(name).type), len(image)) for name, value in single.items()},
        "image": pa.array(image, pa.int32()),
        "label": pa.array(answers.labels[split][image], pa.int8()),
        "answer": pa.array(answers.predicted[condition][image], pa.int8()),
    }
    return pa.table(columns, schema=_SCHEMA)
