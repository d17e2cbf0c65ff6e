"""Reading the files of a source out of a folder, a tar or a zip archive, without writing anything to disk."""

import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from attn_tutorial.datasets.names import TILE
from attn_tutorial.datasets.sources.archive import ArchiveTree
from attn_tutorial.datasets.sources.folder import FolderTree
from attn_tutorial.datasets.sources.layout import BATCH_NAMES, ImageSourceError
from attn_tutorial.datasets.sources.links import Place, Tree, walk
from attn_tutorial.datasets.sources.places import is_image_or_batch, leads_to_images, table_split

_LARGEST_IMAGE_FILE = 1 << 16  # bytes; a 32×32 image in raw RGB has 3,072
_LARGEST_BATCH_FILE = 1 << 26  # bytes; an official batch has 31 million
_LARGEST_TABLE = 1 << 28  # bytes; the training images of Hugging Face's copy have 120 million
_LONGEST_TARGET = 1 << 12  # bytes; the longest path in Linux


def read_files(source: Path) -> dict[str, bytes]:
    """Return the contents of every file that may be an image or a batch, by its path inside `source`.

    Where there is none, these are the tables (`places.table_split`). Links inside `source` are followed.

    Raises ImageSourceError if an archive is damaged, a file is too large, or a link cannot be followed.
    """
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


def _wanted(source: Path, tree: Tree) -> list[tuple[str, Place]]:
    """Return path and place of the files to read.

    Links that can have nothing to do with the images are followed only if there are no images otherwise, for example
    where a link stands for the folder that train/ and test/ are in.
    """
    for follows in (leads_to_images, lambda path: True):
        files = list(walk(source, tree, follows))
        if images := [(path, place) for path, place in files if is_image_or_batch(path)]:
            return images
    return [(path, place) for path, place in files if table_split(path)]


def _check_size(source: Path, path: str, size: int) -> None:
    """Refuse a file that is too large before it fills the memory."""
    largest = _LARGEST_BATCH_FILE if PurePosixPath(path).name in BATCH_NAMES else _LARGEST_IMAGE_FILE
    if table_split(path):
        largest = _LARGEST_TABLE
    if size > largest:
        raise ImageSourceError(
            f"{path} in {source} must have at most {largest:,} bytes, but has {size:,}. "
            f"Remove it, or give images of {TILE}×{TILE} pixels."
        )


def _read_folder(source: Path) -> dict[str, bytes]:
    tree = FolderTree(source)
    files = {}
    for name, place in _wanted(source, tree):
        path = tree.path(place)
        _check_size(source, name, path.stat().st_size)
        files[name] = path.read_bytes()
    return files


def _read_tar(source: Path) -> dict[str, bytes]:
    tree = ArchiveTree[tarfile.TarInfo](source)
    read: dict[Place, bytes] = {}
    with tarfile.open(source, "r:" if source.name.lower().endswith(".tar") else "r:gz") as archive:
        for member in archive:
            if member.isfile():
                place = tree.add_file(member.name, member)
                if is_image_or_batch(member.name):  # at once, because going back in a compressed archive is slow
                    _check_size(source, member.name, member.size)
                    read[place] = _content(archive, member)
            elif member.issym() or member.islnk():
                tree.add_link(member.name, member.linkname, hard=member.islnk())
            elif member.isdir():
                tree.add_folder(member.name)
            else:
                tree.add_other(member.name)
        # tarfile mistakes a damaged header, or a cut between two members, for the end. A real end is a block of zeros.
        assert archive.fileobj is not None
        archive.fileobj.seek(archive.offset)
        if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("a damaged header, or no end-of-archive mark")
        while archive.fileobj.read(1 << 20):  # to the very end, where gzip keeps the checksum
            pass
        wanted = sorted(_wanted(source, tree), key=lambda file: tree.files[file[1]].offset)
        for name, place in wanted:
            _check_size(source, name, tree.files[place].size)
            if place not in read:
                read[place] = _content(archive, tree.files[place])
    return {name: read[place] for name, place in wanted}


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def _read_zip(source: Path) -> dict[str, bytes]:
    tree = ArchiveTree[zipfile.ZipInfo](source)
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            name = _with_slashes(member)
            if name.endswith("/"):
                tree.add_folder(name)
            elif stat.S_ISLNK(member.external_attr >> 16) and member.file_size <= _LONGEST_TARGET:
                tree.add_link(name, archive.read(member).decode("utf-8", "surrogateescape"), hard=False)
            else:
                tree.add_file(name, member, spelled=member.filename)
        files = {}
        for name, place in _wanted(source, tree):
            member = tree.files[place]
            _check_size(source, name, member.file_size)
            files[name] = archive.read(member)
    return files


def _with_slashes(member: zipfile.ZipInfo) -> str:
    r"""Return a member's name with `/` between folders, where some tools of Windows write `\`."""
    written_by_windows = member.create_system == 0 or "/" not in member.filename
    return member.filename.replace("\\", "/") if written_by_windows else member.filename
