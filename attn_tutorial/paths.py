"""Paths that a user gives: on the command line, in a notebook, in the environment or to a function."""

import os
from pathlib import Path

from attn_tutorial.errors import InputError


def user_path(given: str | Path, name: str = "path") -> Path:
    """Return a path with a leading `~` or `~user` replaced by that user's home folder.

    Write `./~` for a folder that is really called `~`. The path of such a folder is returned as an absolute one, so
    that a second call does not take it for a home folder.

    Args:
        given: the path, which need not exist.
        name: what a message calls it, such as "results".

    Raises:
        InputError: the text is empty, or the home folder is not known, for example because there is no such user.

    """
    text = os.fspath(given)
    if not text:
        raise InputError(
            f"`{name}` must be a path, but got an empty text. Leave it out for its default, or give . for the current "
            "folder."
        )
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        user = Path(text).parts[0]
        raise InputError(
            f"`{name}` must be a path, but got {text}, and the home folder {user} is not known here. Check the user's "
            f"name, write the whole path, or write ./{user} for a folder of that name."
        )
    path = Path(expanded)
    return path.absolute() if str(path).startswith("~") else path
