"""Walking through a folder or an archive along its links, which must stay inside it.

Images are never left out silently: where a link cannot be followed, the error names it.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from attn_tutorial.datasets.sources.layout import ImageSourceError
from attn_tutorial.datasets.sources.places import is_ignored, leads_to_images

Place = tuple[str, ...]
"""Where something really lies in a source: the names of the folders from its top, then its own."""
Kind = Literal["file", "folder", "link", "other"]


class LinkError(Exception):
    """A link that cannot be followed. The text says where it points to, and what is wrong with that."""


class Tree(Protocol):
    """The files, folders and links of a source."""

    def names(self, place: Place) -> Iterable[str]:
        """Return the names of what lies in a folder."""

    def kinds(self, place: Place) -> set[Kind]:
        """Return what lies at a place. In an archive it may be several things, for example a link and a folder."""

    def target(self, place: Place) -> Place:
        """Return the place that a link leads to in the end, which is not a link; raise LinkError if it cannot be."""


def walk(source: Path, tree: Tree, follows: Callable[[str], bool]) -> Iterator[tuple[str, Place]]:
    """Give every file of a tree: its path along the links, and where it really lies.

    Args:
        source: the folder or archive, for messages.
        tree: what is in it.
        follows: called with the path of each link, says whether it is followed; otherwise it is skipped.

    Raises ImageSourceError for a link that should be followed but cannot be, and for a device or pipe among the images.
    """
    yield from _below(source, tree, follows, (), "", ((),))


def _below(
    source: Path, tree: Tree, follows: Callable[[str], bool], place: Place, path: str, above: tuple[Place, ...]
) -> Iterator[tuple[str, Place]]:
    for name in tree.names(place):
        if is_ignored(name):
            continue
        own, shown = (*place, name), str(PurePosixPath(path, name))
        ends = {own: tree.kinds(own)}
        if "link" in ends[own] and follows(shown):
            target = _followed(source, tree, own, shown, above)
            ends[target] = tree.kinds(target)
        for end, kinds in ends.items():
            if "file" in kinds:
                yield shown, end
            if "folder" in kinds:
                yield from _below(source, tree, follows, end, shown, (*above, end))
            if "other" in kinds and leads_to_images(shown):
                raise ImageSourceError(
                    f"{shown} in {source} must be a file or a folder, but is a device, a pipe or something similar. "
                    "Remove it."
                )


def _followed(source: Path, tree: Tree, link: Place, shown: str, above: tuple[Place, ...]) -> Place:
    try:
        target = tree.target(link)
        if target in above:
            raise LinkError(
                f"points to {'/'.join(target) or 'the top'}, a folder that it lies in itself, so it is a loop"
            )
    except LinkError as error:
        raise ImageSourceError(
            f"The link {shown} must lead to a file or folder inside {source}, but it {error}. "
            "Put the files that it stands for in its place (`cp -rL` copies files instead of links), or remove it."
        ) from error
    return target
