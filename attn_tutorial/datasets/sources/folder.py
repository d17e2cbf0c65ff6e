"""A folder of images as a tree of files and links."""

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from attn_tutorial.datasets.sources.links import Kind, LinkError, Place
from attn_tutorial.datasets.sources.places import leads_to_images


class FolderTree:
    """The files, folders and links of a folder on disk; see `links.Tree`.

    Args:
        source: the folder, which may itself be a link.

    """

    def __init__(self, source: Path):
        self._top = Path(os.path.realpath(source))

    def path(self, place: Place) -> Path:
        """Return where a place is on disk."""
        return self._top.joinpath(*place)

    def names(self, place: Place) -> Iterable[str]:
        """Return the names in a folder. A folder that may not be read counts as empty, if no images belong there."""
        try:
            return sorted(os.listdir(self.path(place)))
        except PermissionError:
            if _needed(place):
                raise
            return ()

    def kinds(self, place: Place) -> set[Kind]:
        """Return what lies at a place: one kind, or none where this may not be seen and no images belong there."""
        try:
            mode = self.path(place).lstat().st_mode
        except PermissionError:
            if _needed(place):
                raise
            return set()
        if stat.S_ISLNK(mode):
            return {"link"}
        if stat.S_ISDIR(mode):
            return {"folder"}
        return {"file"} if stat.S_ISREG(mode) else {"other"}

    def target(self, place: Place) -> Place:
        """Return the place that a link leads to in the end."""
        link = self.path(place)
        said = os.readlink(link)
        try:
            target = Path(os.path.realpath(link, strict=True))
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise LinkError(f"points to {said}, from where links lead back to it, so it is a loop") from error
            if isinstance(error, PermissionError):
                raise
            raise LinkError(f"points to {said}, which does not exist") from error
        if not target.is_relative_to(self._top):
            raise LinkError(f"points to {said}, which lies outside")
        return target.relative_to(self._top).parts


def _needed(place: Place) -> bool:
    return not place or leads_to_images("/".join(place))
