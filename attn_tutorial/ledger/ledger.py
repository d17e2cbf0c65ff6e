"""The ledger: one small JSON file a run, written whole, safe to copy, merge and read while others write."""

import contextlib
import functools
import json
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from pydantic import ValidationError

from attn_tutorial.clutter.names import CLUTTER_VERSION
from attn_tutorial.errors import InputError
from attn_tutorial.ledger.record import SCHEMA, Heading, Record
from attn_tutorial.training.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

    from attn_tutorial.study.study import PlannedRun


_ROOM = 262_144  # bytes that must be free before hours of work begin; a record takes about 20,000
Read = TypeVar("Read", Record, Heading)
ASIDE = "aside"
"""The folder in a ledger's to which damaged records are moved."""
WEIGHTS = "weights"
"""The folder in a ledger's that holds the weights of its runs."""
_NUMBERS = re.compile(r"\[[-+.e\d,\s]+\]")  # a list of them takes one line
_log = logging.getLogger(__name__)


class LedgerError(InputError):
    """A results folder that cannot be used: says why, and what to do."""


class Damaged(Exception):
    """A file that is no whole record."""


class Foreign(Exception):
    """A whole record that means nothing here."""


@functools.cache
def _say_left_out(path: Path, cause: str) -> None:
    _log.warning("%s is left out: it is no record of a run that can be used here (%s)", path, cause)


class Ledger:
    """The records in a results folder.

    Args:
        folder: made when the first record is added; a folder that is not there holds no records.

    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if self.folder.is_file():
            raise LedgerError(f"results folder {folder} was given, which is a file: name a folder, new or with records")
        self._cache: dict[str, tuple[tuple[int, int], Record | None]] = {}
        self.left_out: dict[str, str] = {}
        """Why files that were looked at so far are no records that can be used here, by file name."""

    def __iter__(self) -> Iterator[Record]:
        for path in sorted(self.folder.glob("*.json")):
            record = self._read(path)
            if record is not None:
                yield record

    def get(self, run_id: str) -> Record | None:
        """Return the record of a run, or None."""
        return self._read(self._path(run_id))

    def has_result(self, run_id: str) -> bool:
        """Whether a run needs no training: it is done, or diverged, which it would do again."""
        record = self.get(run_id)
        return record is not None and record.status != "failed"

    def weights_path(self, run_id: str) -> Path:
        """Where the weights of a run's network are kept: a state dict, as `torch.save` writes it."""
        return self.folder / WEIGHTS / f"{run_id}.pt"

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
        """Make the folder if need be, and see that a file can be written there, before hours of work go into it.

        Damaged records, which would be in the way of new ones, are moved to the folder `aside`, with a warning.
        """
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
        for path in sorted(self.folder.glob("*.json")):
            try:
                read_record(path)
            except Damaged as error:
                aside = self.folder / ASIDE / f"{path.name}.{time.time_ns()}"
                aside.parent.mkdir(exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # another process was faster
                    path.replace(aside)
                _log.warning("%s is damaged (%s); it is set aside as %s", path, error, aside)
            except Foreign as error:
                _say_left_out(path, str(error))
            except FileNotFoundError:
                pass

    def named(self, runs: "Iterable[PlannedRun] | None" = None) -> "Iterator[tuple[str, Record]]":
        """Yield records with the names of their variants: those of a plan, or all under the names they were run as."""
        if runs is None:
            yield from ((record.variant, record) for record in self)
        else:
            yield from ((run.variant, record) for run in runs if (record := self.get(run.run_id)))

    def frame(self, runs: "Iterable[PlannedRun] | None" = None) -> "pd.DataFrame":
        """Return a tidy table: a row for each run, composition of types and severity.

        Columns: run_id, study, preset, variant, backbone, block ("none" for the plain network), seed, data, source,
        fingerprint, clutter_version, types, severity, accuracy (percent), recalibrated (percent, with BatchNorm
        statistics taken anew, or NaN), ece, nll, brier, images, parameters, samples, samples_per_second,
        training_seconds, evaluation_seconds. Only runs that are done are in it.

        Args:
            runs: only these, under the names that they have there; all by default.

        """
        import numpy as np
        import pandas as pd

        rows = [
            {
                "run_id": record.run_id,
                "study": record.study,
                "preset": record.preset,
                "variant": variant,
                "backbone": record.spec.backbone.label(),
                "block": record.spec.block or "none",
                "seed": record.spec.seed,
                "data": record.data.name,
                "source": record.data.source,
                "fingerprint": record.data.fingerprint,
                "clutter_version": record.clutter_version,
                "types": row.types,
                "severity": row.severity,
                "accuracy": 100 * row.accuracy,
                "recalibrated": np.nan if row.recalibrated is None else 100 * row.recalibrated,
                "ece": row.ece,
                "nll": row.nll,
                "brier": row.brier,
                "images": row.images,
                "parameters": record.parameters,
                "samples": record.samples,
                "samples_per_second": record.samples_per_second,
                "training_seconds": record.training_seconds,
                "evaluation_seconds": record.evaluation_seconds,
            }
            for variant, record in self.named(runs)
            if record.status == "done"
            for row in record.accuracy
        ]
        columns = (
            "run_id study preset variant backbone block seed data source fingerprint clutter_version types severity "
            "accuracy recalibrated ece nll brier images parameters samples samples_per_second training_seconds "
            "evaluation_seconds"
        ).split()
        return pd.DataFrame(rows, columns=columns)

    def _path(self, run_id: str) -> Path:
        return self.folder / f"{run_id}.json"

    def heading(self, run_id: str) -> Heading | None:
        """Return what a run's record says of how it ended, or None."""
        path = self._path(run_id)
        try:
            return read_record(path, Heading)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (Damaged, Foreign) as error:
            self.left_out[path.name] = str(error)
            return None

    def unusable(self, besides: "Iterable[PlannedRun]" = ()) -> dict[str, str]:
        """Say, by file name, why files in the folder are no records that can be used here.

        Args:
            besides: runs whose own files are not looked at.

        """
        known = {run.run_id for run in besides}
        found = {}
        for path in sorted(self.folder.glob("*.json")):
            if path.stem not in known:
                try:
                    read_record(path, Heading)
                except (Damaged, Foreign, LedgerError) as error:
                    found[path.name] = str(error).replace(f"{path} ", "it ", 1)
                except FileNotFoundError:  # another process has set it aside meanwhile
                    pass
        return found

    def _read(self, path: Path) -> Record | None:
        """Return a record, or None with a warning where a file is none that this version can use."""
        try:
            state = path.stat()
            stamp = (state.st_mtime_ns, state.st_size)
            if self._cache.get(path.name, (None, None))[0] == stamp:
                return self._cache[path.name][1]
            record: Record | None = read_record(path)
        except (FileNotFoundError, NotADirectoryError):  # none yet, or another process has set it aside meanwhile
            return None
        except PermissionError as error:
            raise LedgerError(
                f"record {path} cannot be read ({error.strerror}): mend its folder's permissions"
            ) from None
        except (Damaged, Foreign) as error:
            record = None
            self.left_out[path.name] = str(error)
            _say_left_out(path, str(error))
        else:
            self.left_out.pop(path.name, None)
        self._cache[path.name] = (stamp, record)
        return record


def read_record(path: Path, model: type[Read] = Record) -> Read:  # type: ignore[assignment]
    """Read one file of a ledger.

    Args:
        path: the file.
        model: `Record`; or `Heading`, for which the rest is only looked at far enough to see that the file is whole.

    Raises:
        Damaged: it is no record, or not the one that its name says.
        Foreign: it is a record of another version of the benchmark, or of a block that is not registered here.
        LedgerError: a newer version of the package wrote it, or it cannot be read.

    """
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise LedgerError(
            f"record {path} cannot be read ({error.strerror}): mend its permissions, or move it away"
        ) from None
    try:
        record = model.model_validate_json(text)
    except ValidationError as error:
        _explain(path, text, error)
    if record.schema_version != SCHEMA:
        _explain(path, text, None)
    if record.clutter_version != CLUTTER_VERSION:
        raise Foreign(
            f"it was made with version {record.clutter_version} of the clutter benchmark, and this is "
            f"{CLUTTER_VERSION}: train it anew"
        )
    if record.run_id != record.spec.run_id(record.data.fingerprint) or path.stem != record.run_id:
        raise Damaged("its run_id is not that of its spec and images")
    return record


def _explain(path: Path, text: bytes, error: ValidationError | None) -> NoReturn:
    """Say why a file is no record: what kind of mistake it is decides what happens to it."""
    try:
        values = json.loads(text)
    except ValueError:
        raise Damaged("it is no JSON, perhaps cut off") from None
    version = values.get("schema_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise LedgerError(
            f"{path} was written by a newer version of the package (schema {version}; this one reads {SCHEMA}): "
            "update the package, or name another results folder"
        )
    if version != SCHEMA or error is None:
        raise Damaged(f"its schema_version is {version!r}, this version reads {SCHEMA}")
    problems = error.errors()
    first = f"{'.'.join(map(str, problems[0]['loc']))}: {problems[0]['msg']}"
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    # A spec that is not valid here may be so elsewhere: with a block that somebody has registered there.
    kind = Foreign if all(problem["loc"][:1] == ("spec",) for problem in problems) else Damaged
    raise kind(f"{first}{more}")
