"""Reading the files of a source out of a folder, a tar or a zip archive, without writing anything to disk."""

import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from attn_tutorial.datasets.names import TILE
from attn_tutorial.datasets.sources.layout import BATCH_NAMES, FOLDER_SPLITS, ImageSourceError

_LARGEST_IMAGE_FILE = 1 << 16  # bytes; a 32×32 image in raw RGB has 3,072
_LARGEST_BATCH_FILE = 1 << 26  # bytes; an official batch has 31 million


def read_files(source: Path) -> dict[str, bytes]:
    """Return the contents of every file that may be an image or a batch, by its path inside `source`."""
    if source.is_dir():
        return _read_folder(source)
    read = _read_zip if source.name.lower().endswith(".zip") else _read_tar
    try:
        return read(source)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise ImageSourceError(
            f"{source} cannot be read to its end ({error}): it is truncated, or not the kind of archive that its "
            f"name says. Copy or download it again."
        ) from error


def _wanted(name: str) -> bool:
    """Return whether a file lies in a split's folder or is a batch, and is neither hidden nor a macOS resource fork."""
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    in_split = any(part in FOLDER_SPLITS for part in parts[:2]) and len(parts) > 2
    return not hidden and (in_split or parts[-1] in BATCH_NAMES)


def _readable(source: Path, name: str, size: int) -> bool:
    """Return whether a file is wanted; refuse one that is too large before it fills the memory."""
    if not _wanted(name):
        return False
    largest = _LARGEST_BATCH_FILE if PurePosixPath(name).name in BATCH_NAMES else _LARGEST_IMAGE_FILE
    if size > largest:
        raise ImageSourceError(
            f"{name} in {source} must have at most {largest:,} bytes, but has {size:,}. "
            f"Remove it, or give images of {TILE}×{TILE} pixels."
        )
    return True


def _read_folder(source: Path) -> dict[str, bytes]:
    files = {}
    for path in source.rglob("*"):
        name = path.relative_to(source).as_posix()
        if path.is_file() and _readable(source, name, path.stat().st_size):
            files[name] = path.read_bytes()
    return files


def _read_tar(source: Path) -> dict[str, bytes]:
    files = {}
    with tarfile.open(source, "r:" if source.name.lower().endswith(".tar") else "r:gz") as archive:
        for member in archive:
            if member.isfile() and _readable(source, member.name, member.size):
                file = archive.extractfile(member)
                assert file is not None
                files[member.name] = file.read()
        # tarfile mistakes a damaged header, or a cut between two members, for the end. A real end is a block of zeros.
        assert archive.fileobj is not None
        archive.fileobj.seek(archive.offset)
        if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("a damaged header, or no end-of-archive mark")
        while archive.fileobj.read(1 << 20):  # to the very end, where gzip keeps the checksum
            pass
    return files


def _read_zip(source: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(source) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        return {
            member.filename: archive.read(member)
            for member in members
            if _readable(source, member.filename, member.file_size)
        }
