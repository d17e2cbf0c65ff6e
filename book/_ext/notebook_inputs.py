"""What the notebooks' outputs depend on, besides their own code."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from attn_tutorial.paths import user_path

PATTERNS = (
    "attn_tutorial/**/*.py",
    "attn_tutorial/**/*.yaml",
    "attn_tutorial/**/*.md",
    "data/claims/**/*",
    "data/networks/*",
    "data/results/**/*",
    "data/runs/**/*.json",
    "data/runs/audit-*.yaml",
    "data/tuning/*.csv",
    "data/tuning/runs/*.json",
    "requirements.txt",
)


def fingerprint(root: Path) -> str:
    """Hash of the package, the ledgers, the pinned versions, and which CIFAR-10 is at hand.

    Files count by their content; CIFAR-10, which is large, by path, size and time of change.
    """
    digest = hashlib.sha256(platform.python_version().encode())
    for path in sorted({path for pattern in PATTERNS for path in root.glob(pattern) if path.is_file()}):
        digest.update(f"\n{path.relative_to(root).as_posix()}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for path in _image_sources(root):
        status = path.stat()
        digest.update(f"\n{path} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()


def _image_sources(root: Path) -> Iterator[Path]:
    given = os.environ.get("ATTN_TUTORIAL_CIFAR10")
    places = [user_path(given, "ATTN_TUTORIAL_CIFAR10")] if given else sorted((root / "data" / "raw").glob("*"))
    yield from (place for place in places if place.exists() and place.name != "cache")
