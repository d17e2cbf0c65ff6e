"""The ledger: one small JSON file a run, written whole, safe to copy, merge and read while others write."""

import contextlib
import functools
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from attn_tutorial.datasets.names import CLUTTER_VERSION
from attn_tutorial.errors import InputError
from attn_tutorial.study.record import SCHEMA, Record
from attn_tutorial.training.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

    from attn_tutorial.study.study import PlannedRun


_ROOM = 65_536  # bytes that must be free before hours of work begin; a record takes about 15,000
_NUMBERS = re.compile(r"\[[-+.e\d,\s]+\]")  # a list of them takes one line
_log = logging.getLogger(__name__)


class LedgerError(InputError):
    """A results folder that cannot be used: says why, and what to do."""


@functools.cache
def _say_left_out(path: Path, cause: str) -> None:
    _log.warning("%s is left out: it is no record of a run (%s)", path, cause)


class Ledger:
    """The records in a results folder.

    Args:
        folder: made when the first record is added; a folder that is not there holds no records.

    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def __iter__(self) -> Iterator[Record]:
        for path in sorted(self.folder.glob("*.json")):
            record = self._read(path)
            if record is not None:
                yield record

    def get(self, run_id: str) -> Record | None:
        """Return the record of a run, or None."""
        path = self._path(run_id)
        return self._read(path) if path.exists() else None

    def has_result(self, run_id: str) -> bool:
        """Whether a run needs no training: it is done, or diverged, which it would do again."""
        record = self.get(run_id)
        return record is not None and record.status != "failed"

    def add(self, record: Record) -> None:
        """Write a record, whole or not at all."""
        text = json.dumps(record.model_dump(mode="json"), indent=1) + "\n"
        text = _NUMBERS.sub(lambda found: " ".join(found[0].split()), text)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._path(record.run_id), text.encode())
        except OSError as error:
            raise LedgerError(
                f"the record of run {record.run_id} cannot be written to {self.folder} ({error.strerror}): free some "
                "space and give the same command again; nothing that was done is lost"
            ) from None

    def make_writable(self) -> None:
        """Make the folder if need be, and see that a file can be written there, before hours of work go into it."""
        probe = self.folder / f".probe.{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(bytes(_ROOM))
            probe.unlink()
        except OSError as error:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)
            raise LedgerError(
                f"results folder {self.folder} was given, but nothing can be written there ({error.strerror}); "
                "name a folder of your own with --results, or as the notebook's parameter `results`"
            ) from None

    def frame(self, runs: "Iterable[PlannedRun] | None" = None) -> "pd.DataFrame":
        """Return a tidy table: a row for each run, composition of types and severity.

        Columns: run_id, study, preset, variant, seed, data, source, fingerprint, clutter_version, types, severity,
        accuracy (percent), recalibrated (percent, with BatchNorm statistics taken anew, or NaN), images,
        parameters, samples, samples_per_second, training_seconds.

        Args:
            runs: only these, under the names that they have there; all by default.

        """
        import numpy as np
        import pandas as pd

        if runs is None:
            named = [(record.variant, record) for record in self]
        else:
            named = [(run.variant, record) for run in runs if (record := self.get(run.run_id))]
        rows = [
            {
                "run_id": record.run_id,
                "study": record.study,
                "preset": record.preset,
                "variant": variant,
                "seed": record.spec.seed,
                "data": record.data.name,
                "source": record.data.source,
                "fingerprint": record.data.fingerprint,
                "clutter_version": record.clutter_version,
                "types": row.types,
                "severity": row.severity,
                "accuracy": 100 * row.accuracy,
                "recalibrated": np.nan if row.recalibrated is None else 100 * row.recalibrated,
                "images": row.images,
                "parameters": record.parameters,
                "samples": record.samples,
                "samples_per_second": record.samples_per_second,
                "training_seconds": record.training_seconds,
            }
            for variant, record in named
            if record.status == "done"
            for row in record.accuracy
        ]
        columns = (
            "run_id study preset variant seed data source fingerprint clutter_version types severity accuracy "
            "recalibrated images parameters samples samples_per_second training_seconds"
        ).split()
        return pd.DataFrame(rows, columns=columns)

    def _path(self, run_id: str) -> Path:
        return self.folder / f"{run_id}.json"

    def _read(self, path: Path) -> Record | None:
        """Return a record, or None with a warning where a file is none that this version can read."""
        try:
            values = json.loads(path.read_text("utf-8"))
            version = values.get("schema_version") if isinstance(values, dict) else None
            if version != SCHEMA:
                raise ValueError(f"its schema_version is {version!r}, this version reads {SCHEMA}")
            record = Record.model_validate_json(json.dumps(values))
            if record.clutter_version != CLUTTER_VERSION:
                raise ValueError(
                    f"it was made with version {record.clutter_version} of the clutter benchmark, and this is "
                    f"{CLUTTER_VERSION}: train it anew"
                )
            if record.run_id != record.spec.run_id(record.data.fingerprint) or path.stem != record.run_id:
                raise ValueError("its run_id is not that of its spec and images")
        except (ValueError, OSError) as error:
            cause = f"{error.error_count()} fields are not valid" if isinstance(error, ValidationError) else error
            _say_left_out(path, str(cause))
            return None
        return record
