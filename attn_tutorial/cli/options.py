"""Options that several commands share."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from attn_tutorial.engine.options import RunOptions
from attn_tutorial.errors import InputError
from attn_tutorial.paths import user_path
from attn_tutorial.training.names import numbered_gpu_hint

RESULTS = Path("data/runs")
_DATA_HELP = "auto, cifar10, shapes, or the folder or archive of CIFAR-10."


class UserPath(click.Path):
    """A path, which need not exist. An empty text, which a script's unset variable leaves, is refused.

    Args:
        what: what a message calls it.

    """

    def __init__(self, what: str):
        super().__init__(path_type=Path)
        self._what = what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; `~` is the home folder."""
        if value == "":
            self.fail(
                f"it must be a {self._what}, but got an empty text. Leave the option out for its default.", param, ctx
            )
        try:
            given = user_path(value, "path" if param is None else str(param.name))
        except InputError as error:
            self.fail(str(error), param, ctx)
        return super().convert(given, param, ctx)


FOLDER, FILE = UserPath("folder"), UserPath("file")


class _Choice(click.Choice):
    """One of several names. A device with a number, such as cuda:0, is refused with a hint."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if hint := numbered_gpu_hint(value):
            self.fail(f"it must be one of {', '.join(self.choices)}, but got {value!r}. {hint}", param, ctx)
        return super().convert(value, param, ctx)


def together(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return several options as one decorator, in the order in which --help shows them."""
    return lambda command: functools.reduce(lambda made, option: option(made), reversed(options), command)


def run_options(*names: str) -> Callable[[Any], Any]:
    """Return options for fields of `RunOptions`, all of them by default."""
    return together(*(_option(name) for name in names or RunOptions.model_fields))


def _option(name: str) -> Callable[[Any], Any]:
    field = RunOptions.model_fields[name]
    kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if get_origin(kind) is Literal]
    choice = _Choice([str(value) for value in get_args(kinds[0])]) if kinds else None
    plain = {"workers": click.IntRange(1), "gpus_per_run": click.FLOAT}
    return click.option(
        f"--{name.replace('_', '-')}",
        type=choice or plain.get(name),
        is_flag=field.annotation is bool,
        default=field.default,
        show_default=field.default not in (None, "", False),
        help=field.description,
    )


root = click.option(
    "--root", type=FOLDER, default=Path("data"), show_default=True, help="The folder that contains raw/."
)
data = click.option("--data", "images", default="auto", show_default=True, help=_DATA_HELP)
results = click.option("--results", type=FOLDER, default=RESULTS, show_default=True, help="Folder of the records.")
preset = click.option("--preset", default="quick", show_default=True, help="At what scale.")
preset_data = click.option("--data", "images", help=f"{_DATA_HELP} By default the preset chooses.")
planned = together(
    preset,
    click.option(
        "--seeds", type=int, help="How many seeds, 1 to 1000, from the study's first on. By default the preset says."
    ),
    root,
    preset_data,
    results,
)
"""What says which runs a command is about, and where their records are."""
study_name = click.argument("name")
