"""The folder of an export, which is complete or absent, whatever stops the export."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from attn_tutorial.clutter.card import CARD, TITLE
from attn_tutorial.errors import InputError


@contextmanager
def new_folder(out: Path, force: bool) -> Iterator[Path]:
    """Yield a folder to write to. It becomes `out` if the block succeeds, and is removed if it fails.

    Raises InputError where `out` must not be replaced, or where another export is writing it.
    """
    _check_free(out, force)
    partial = out.with_name(f"{out.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    if any(partial.iterdir()) and not (partial / ".lock").is_file():
        raise InputError(
            f"{partial} must be an unfinished export or absent, but it exists and contains other files. "
            "Move it away, or choose another folder."
        )
    # The lock lies in the folder itself, so that no lock file stays beside the export.
    lock = FileLock(partial / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"{out} is being written by another export. Wait for it, or choose another folder.") from None
    try:
        for leftover in set(partial.iterdir()) - {partial / ".lock"}:
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        yield partial
        _check_free(out, force)
        (partial / ".lock").unlink()
        replaced = out.with_name(f"{out.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        if out.exists():
            out.rename(replaced)
        partial.rename(out)
        shutil.rmtree(replaced, ignore_errors=True)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        lock.release()


def _check_free(out: Path, force: bool) -> None:
    replaced = out.with_name(f"{out.name}.replaced")
    if replaced.exists() and not _is_export(replaced):
        raise InputError(
            f"{replaced} exists and contains no {CARD} of an export. An earlier export would get that name until it is "
            "replaced: move the folder away, or choose another one."
        )
    if not out.exists():
        return
    if not force:
        raise InputError(
            f"{out} exists already. Choose another folder, or replace an earlier export with `force` (--force)."
        )
    if not _is_export(out):
        raise InputError(
            f"{out} exists and contains no {CARD} of an export, so it is not replaced. Choose another folder."
        )


def _is_export(folder: Path) -> bool:
    card = folder / CARD
    return card.is_file() and card.read_text(encoding="utf-8", errors="replace").startswith(TITLE)
