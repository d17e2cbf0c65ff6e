"""What is in an archive, as a tree of files and links."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Generic, TypeVar

from attn_tutorial.datasets.sources.layout import ImageSourceError
from attn_tutorial.datasets.sources.links import Kind, LinkError, Place
from attn_tutorial.datasets.sources.places import is_image_or_batch

_MOST_LINKS = 40  # in a row, as in Linux; more are a loop

Member = TypeVar("Member")


@dataclass(frozen=True)
class _Link:
    target: str
    hard: bool
    """The target of a hard link is a path from the archive's top, and that of a symbolic link one from its folder."""


class ArchiveTree(Generic[Member]):
    """The files, folders and links of an archive; see `links.Tree`.

    Members are added in the archive's order. A later one replaces an earlier one of the same name, as unpacking does.

    Args:
        source: the archive, for messages.

    """

    def __init__(self, source: Path):
        self._source = source
        self.files: dict[Place, Member] = {}
        self._spelled: dict[Place, str] = {}
        self._links: dict[Place, _Link] = {}
        self._others: set[Place] = set()
        self._folders: dict[Place, dict[str, None]] = {(): {}}

    def add_file(self, name: str, member: Member, spelled: str | None = None) -> Place:
        """Add a file, and return its place; refuse a second image or batch whose name means the same file.

        Args:
            name: its path.
            member: what the archive says about it.
            spelled: the path as it stands in the archive, if that is not `name`.

        """
        place = self._added(name)
        spelled = name if spelled is None else spelled
        earlier = self._spelled.setdefault(place, spelled)
        if earlier != spelled and is_image_or_batch(str(PurePosixPath(*place))):
            raise ImageSourceError(
                f"Every file in {self._source} must have a name of its own, but {earlier!r} and {spelled!r} mean the "
                "same file. Remove one of them."
            )
        self.files[place] = member
        return place

    def add_link(self, name: str, target: str, hard: bool) -> None:
        """Add a link; the target is as it stands in the archive."""
        self._links[self._added(name)] = _Link(target, hard)

    def add_folder(self, name: str) -> None:
        """Add a folder, which may be empty."""
        self._folders.setdefault(self._added(name), {})

    def add_other(self, name: str) -> None:
        """Add a device, a pipe or something similar."""
        self._others.add(self._added(name))

    def _added(self, name: str) -> Place:
        place = PurePosixPath(name).parts
        self.files.pop(place, None)
        self._links.pop(place, None)
        self._others.discard(place)
        for depth in range(len(place)):
            self._folders.setdefault(place[:depth], {})[place[depth]] = None
        return place

    def names(self, place: Place) -> Iterable[str]:
        """Return the names in a folder."""
        return tuple(self._folders[place])

    def kinds(self, place: Place) -> set[Kind]:
        """Return what lies at a place. A name in use for a folder may also be the name of a file or link."""
        tables: dict[Kind, Iterable[Place]] = {
            "file": self.files,
            "link": self._links,
            "other": self._others,
            "folder": self._folders,
        }
        return {kind for kind, table in tables.items() if place in table}

    def target(self, place: Place) -> Place:
        """Return the place that a link leads to in the end."""
        said = self._links[place].target
        done: list[str] = []
        rest = list(place)
        followed = 0
        while rest:
            part = rest.pop(0)
            if part == "..":
                if not done:
                    raise LinkError(f"points to {said}, which lies outside")
                done.pop()
                continue
            done.append(part)
            link = self._links.get(tuple(done))
            if link is not None:
                followed += 1
                if followed > _MOST_LINKS:
                    raise LinkError(f"points to {said}, from where links lead back to it, so it is a loop")
                rest = [*PurePosixPath(link.target).parts, *rest]
                done = [] if link.hard or link.target.startswith("/") else done[:-1]
        if not self.kinds(tuple(done)):
            outside = bool(done) and done[0].startswith("/")
            raise LinkError(f"points to {said}, which {'lies outside' if outside else 'does not exist'}")
        return tuple(done)
