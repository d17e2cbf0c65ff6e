"""The `attn-tutorial` command: thin, and quick to start, because each command imports what it needs when it runs."""

from typing import Any

import click

from attn_tutorial import __version__
from attn_tutorial.cli.benchmark import benchmark, check_claims
from attn_tutorial.cli.data import data as data_group
from attn_tutorial.cli.network import blocks, train
from attn_tutorial.cli.study import study as study_group
from attn_tutorial.errors import InputError


class _Group(click.Group):
    """A group whose commands turn the package's own errors into one message and exit status 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            raise click.UsageError(str(error)) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Build visual attention blocks, train ablations of them in clutter, and read the results."""


# Under other names than those of their modules, which would no longer be found by `attn_tutorial.cli.data`.
for command in (data_group, study_group, train, blocks, benchmark, check_claims):
    main.add_command(command)
