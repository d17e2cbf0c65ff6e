"""The errors that say what a user can do, and the check that raises most of them."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Something that was given cannot be used. The text says what must hold, what was given and what to do.

    The text is complete by itself, so a notebook (and with it papermill) shows it instead of a traceback, and the
    command line prints it alone.
    """

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


def check_choice(what: str, given: object, allowed: Iterable[object]) -> None:
    """Raise `InputError`, which names the nearest match, unless `given` is one of `allowed`."""
    choices = list(allowed)
    if given in choices:
        return
    if not choices:
        raise InputError(f"{what} must be left out, because there is none to choose from, but got {given!r}.")
    near = get_close_matches(str(given), [str(choice) for choice in choices], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"{what} must be one of {', '.join(map(str, choices))}, but got {given!r}.{hint}")
