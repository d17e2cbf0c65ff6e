"""The ledger: one small JSON file for each run, written whole, safe to copy, merge and read while others write."""

import contextlib
import functools
import json
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from attn_tutorial.ledger.reading import Damaged, Foreign, LedgerError, read_record
from attn_tutorial.ledger.record import Heading, Record
from attn_tutorial.paths import user_path
from attn_tutorial.study.study import PlannedRun
from attn_tutorial.training.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

    from attn_tutorial.ledger.answers import Answers

_ROOM = 262_144  # bytes that must be free before hours of work begin; a record and its answers take about 120,000
ASIDE = "aside"
"""The folder in a ledger's folder to which damaged records are moved."""
WEIGHTS = "weights"
"""The folder in a ledger's folder that contains the weights of its runs."""
ANSWERS = "answers"
"""The folder in a ledger's folder that contains the answers of its runs' networks, image by image."""
_SCHEMA_1 = b'"schema_version": 1,'
_HEAD = 64  # bytes of a file in which its schema stands
_NUMBERS = re.compile(r"\[[-+.e\d,\s]+\]")  # a list of numbers takes one line
_log = logging.getLogger(__name__)


@functools.cache
def _say_left_out(path: Path, cause: str) -> None:
    _log.warning("%s is left out, because it is not a record of a run that can be used here (%s)", path, cause)


@functools.cache
def _say_answers_left_out(path: Path, cause: str) -> None:
    _log.warning("%s is left out: %s", path, cause)


class Ledger:
    """The records in a results folder.

    Args:
        folder: made when the first record is added. A folder that does not exist contains no records.

    """

    def __init__(self, folder: str | Path):
        self.folder = user_path(folder, "results")
        if self.folder.is_file():
            raise LedgerError(f"results must be a folder, new or with records, but got the file {folder}.")
        self._cache: dict[str, tuple[tuple[int, int], Record | None]] = {}
        self._earlier: dict[str, tuple[str, tuple[str, str]] | None] = {}
        self.left_out: dict[str, str] = {}
        """By file name: why files that were read so far cannot be used here."""
        self.answers_left_out: dict[str, str] = {}
        """The same for files of answers, whose records are used all the same."""

    def __iter__(self) -> Iterator[Record]:
        for path in sorted(self.folder.glob("*.json")):
            record = self._read(path)
            if record is not None:
                yield record

    def get(self, run: PlannedRun | str) -> Record | None:
        """Return the record of a run, or None.

        Args:
            run: a planned run, whose record may have the id that an earlier schema gave it; or the id of a record.

        """
        return self._read(self._path(run if isinstance(run, str) else self.record_id(run)))

    def heading(self, run: PlannedRun) -> Heading | None:
        """Return the part of a run's record that says how it ended, or None."""
        path = self._path(self.record_id(run))
        try:
            return read_record(path, Heading)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (Damaged, Foreign) as error:
            self.left_out[path.name] = str(error)
            return None

    def record_id(self, run: PlannedRun) -> str:
        """Return the id under which a run is recorded here: its own, or the one that a record of schema 1 has.

        Records of schema 1 are named by their test, too, so one training may have several: then it is the one that was
        tested on the plan's split.
        """
        if self._path(run.run_id).exists():
            return run.run_id
        wanted = (run.run_id, run.spec.evaluation.split)
        return next((name for name, test in self._of_schema_1().items() if test == wanted), run.run_id)

    def has_result(self, run: PlannedRun) -> bool:
        """Return whether a run needs no work: it is done and was tested on the plan's split, or it diverged."""
        record = self.get(run)
        if record is None or record.status == "failed":
            return False
        return record.status == "diverged" or any(row.split == run.spec.evaluation.split for row in record.accuracy)

    def weights_path(self, run_id: str) -> Path:
        """Return where the weights of a record's network are kept: a state dict, as `torch.save` writes it."""
        return self.folder / WEIGHTS / f"{run_id}.pt"

    def answers_path(self, run_id: str) -> Path:
        """Return where the answers of a record's network are: see `ledger.answers.Answers`."""
        return self.folder / ANSWERS / f"{run_id}.npz"

    def answers(self, record: Record) -> "Answers | None":
        """Return the answers of a record's network, in the conditions that the record has.

        Returns:
            None if there is no file of them, as for records that were made before answers were stored; and if the file
            is damaged or does not give the record's accuracies. Then a warning says so, and `answers_left_out` why.

        """
        from attn_tutorial.ledger.answers import Answers, AnswersError

        path = self.answers_path(record.run_id)
        try:
            found = Answers.read(path)
            found.check(record)
        except FileNotFoundError:
            return None
        except AnswersError as error:
            self._leave_out_answers(path, error)
            return None
        self.answers_left_out.pop(path.name, None)
        return found.only(record.conditions) if record.conditions & found.predicted.keys() else None

    def add(self, record: Record, answers: "Answers | None" = None) -> None:
        """Write a record, whole or not at all, in place of an earlier one of the same id.

        Args:
            record: the record.
            answers: of its network: see `add_answers`. They are written before the record, because a run that has one
                is never tested again; and only if there is still room for the record, which is worth more.

        Raises:
            LedgerError: the record cannot be written.

        """
        text = json.dumps(record.model_dump(mode="json"), indent=1) + "\n"
        text = _NUMBERS.sub(lambda found: " ".join(found[0].split()), text)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if answers is not None:
                with self._reserved(len(text)):
                    self.add_answers(record, answers)
            write_whole(self._path(record.run_id), text.encode())
        except OSError as error:
            raise LedgerError(
                f"the record of run {record.run_id} cannot be written to {self.folder} ({error.strerror}). Free some "
                "space and give the same command again; nothing that was done is lost."
            ) from None

    def add_answers(self, record: Record, answers: "Answers") -> None:
        """Write the answers of a record's network; where that fails, log a warning that names the missing file.

        What an earlier file contains about the same network stays, as far as the record still has it.
        """
        try:
            self.write_answers(record, answers)
        except LedgerError as error:
            _log.warning("%s The record itself is not affected.", error)

    def write_answers(self, record: Record, answers: "Answers") -> None:
        """Write answers as `add_answers` does, but raise an error where that fails.

        Args:
            record: as it is, or as it will be.
            answers: of its network. Those in conditions that the record lacks are left out.

        Raises:
            LedgerError: the answers do not give the record's accuracies, or cannot be written.

        """
        from attn_tutorial.ledger.answers import Answers

        answers.check(record)
        answers = answers.only(record.conditions)
        if not answers.predicted:
            return
        path = self.answers_path(record.run_id)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            (self._earlier_answers(record) or Answers({}, {})).joined(answers).write(path)
        except OSError as error:
            raise LedgerError(
                f"the answers of run {record.run_id} must be written to {path}, but that is not possible "
                f"({error.strerror}), so this file is missing or lacks what was tested last. Free some space. To get "
                f"the answers later, move {record.run_id}.json out of {self.folder} and run the study again."
            ) from None

    def make_writable(self) -> None:
        """Make the folder if needed, and check that a file can be written there, before hours of work go into it.

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
                f"results folder {self.folder} must be writable, but it is not ({error.strerror}). Name a folder of "
                "your own with --results, or with the notebook's parameter `results`."
            ) from None
        for path in sorted(self.folder.glob("*.json")):
            try:
                read_record(path)
            except Damaged as error:
                aside = self.folder / ASIDE / f"{path.name}.{time.time_ns()}"
                aside.parent.mkdir(exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # another process was faster
                    path.replace(aside)
                _log.warning("%s is damaged (%s); it was moved to %s", path, error, aside)
            except Foreign as error:
                _say_left_out(path, str(error))
            except FileNotFoundError:
                pass

    def named(self, runs: Iterable[PlannedRun] | None = None) -> Iterator[tuple[str, Record]]:
        """Yield records with the names of their variants.

        Args:
            runs: a plan, whose names are used, with the tests on its split; by default all records, under the names
                that they were run with.

        """
        if runs is None:
            yield from ((record.variant, record) for record in self)
        else:
            yield from (
                (run.variant, record.of_split(run.spec.evaluation.split)) for run in runs if (record := self.get(run))
            )

    def frame(self, runs: Iterable[PlannedRun] | None = None) -> "pd.DataFrame":
        """Return a tidy table of the runs that are done: a row for each run, split, composition of types and severity.

        Columns: see `ledger.frames.accuracy_frame`.

        Args:
            runs: only these, under the names that they have there; all by default.

        """
        from attn_tutorial.ledger.frames import accuracy_frame

        return accuracy_frame(self.named(runs))

    def unusable(self, besides: Iterable[PlannedRun] = ()) -> dict[str, str]:
        """Return by file name why files in the folder cannot be used here.

        Args:
            besides: runs whose own files are not looked at.

        """
        known = {self.record_id(run) for run in besides}
        found = {}
        for path in sorted(self.folder.glob("*.json")):
            if path.stem not in known:
                try:
                    read_record(path, Heading)
                except (Damaged, Foreign, LedgerError) as error:
                    found[path.name] = str(error).replace(f"{path} ", "it ", 1)
                except FileNotFoundError:  # another process has moved it aside in the meantime
                    pass
        return found

    def _path(self, run_id: str) -> Path:
        return self.folder / f"{run_id}.json"

    def _earlier_answers(self, record: Record) -> "Answers | None":
        """Return those answers in a record's file that are about its network and give its accuracies."""
        from attn_tutorial.ledger.answers import Answers, AnswersError

        there = self.get(record.run_id)
        if there is None or record.weights_sha256 is None or there.weights_sha256 != record.weights_sha256:
            return None
        path = self.answers_path(record.run_id)
        try:
            return Answers.read(path).agreeing(record)
        except FileNotFoundError:
            return None
        except AnswersError as error:
            self._leave_out_answers(path, error)
            return None

    def _leave_out_answers(self, path: Path, error: LedgerError) -> None:
        cause = str(error).replace(f"{path} ", "it ", 1)
        self.answers_left_out[path.name] = cause
        _say_answers_left_out(path, cause)

    @contextlib.contextmanager
    def _reserved(self, size: int) -> Iterator[None]:
        """Keep this many bytes of the disk free for what is written next."""
        path = self.folder / f".room.{os.getpid()}"
        try:
            path.write_bytes(bytes(size))
            yield
        finally:
            path.unlink(missing_ok=True)

    def _of_schema_1(self) -> dict[str, tuple[str, str]]:
        """Return training and split of the usable records of schema 1, by id.

        Each file is looked at once, and only old files are read further: ids take long to compute.
        """
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in os.scandir(self.folder):
                if entry.name.endswith(".json") and entry.name not in self._earlier:
                    self._earlier[entry.name] = self._if_schema_1(Path(entry.path))
        return dict(found for _, found in sorted(self._earlier.items()) if found)

    def _if_schema_1(self, path: Path) -> tuple[str, tuple[str, str]] | None:
        try:
            with path.open("rb") as file:
                if _SCHEMA_1 not in file.read(_HEAD):
                    return None
            heading = read_record(path, Heading)
        except (Damaged, Foreign, OSError, LedgerError):
            return None
        return heading.run_id, (heading.training_id, heading.spec.evaluation.split)

    def _read(self, path: Path) -> Record | None:
        """Return a record, or None with a warning where this version cannot use a file."""
        try:
            state = path.stat()
            stamp = (state.st_mtime_ns, state.st_size)
            if self._cache.get(path.name, (None, None))[0] == stamp:
                return self._cache[path.name][1]
            record: Record | None = read_record(path)
        except (FileNotFoundError, NotADirectoryError):  # none yet, or another process has moved it aside
            return None
        except PermissionError as error:
            raise LedgerError(
                f"record {path} must be readable, but it is not ({error.strerror}). Change its folder's permissions."
            ) from None
        except (Damaged, Foreign) as error:
            record = None
            self.left_out[path.name] = str(error)
            _say_left_out(path, str(error))
        else:
            self.left_out.pop(path.name, None)
        self._cache[path.name] = (stamp, record)
        return record
