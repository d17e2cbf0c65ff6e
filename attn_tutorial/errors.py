"""The base of the errors that say what a user can do."""


class InputError(ValueError):
    """Something that was given cannot be used. The text says what was given, what is allowed and what to do.

    The text is complete by itself, so a notebook (and with it papermill) shows it instead of a traceback, and the
    command line prints it alone.
    """

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]
