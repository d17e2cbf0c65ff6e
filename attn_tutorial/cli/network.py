"""`attn-tutorial train` and `blocks`: one network of your own, and what there is to put into it."""

from typing import Any

import click

from attn_tutorial.cli import options as shared
from attn_tutorial.cli.start import start


@click.command()
def blocks() -> None:
    """List the attention blocks with their options and parameters."""
    from attn_tutorial.blocks import BLOCK_OPTIONS, BLOCKS, build_block

    for name in BLOCKS:
        parameters = sum(weight.numel() for weight in build_block(name, 64).parameters())
        options = ", ".join(f"{key}={field.default!r}" for key, field in BLOCK_OPTIONS[name].model_fields.items())
        click.echo(f"{name:<14}{parameters:>7,} parameters at 64 channels   {options}")


@click.command()
@click.argument("block")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the block, such as reduction=8. May be repeated.",
)
@click.option("--stages", default="1,2,3", show_default=True, help="The stages that get the block.")
@click.option(
    "--position",
    type=click.Choice(["standard", "pre", "post", "identity"]),
    default="standard",
    show_default=True,
    help="Where in the residual unit the block sits.",
)
@shared.planned
@shared.run_options()
def train(block: str, options: tuple[str, ...], stages: str, position: str, **how: Any) -> None:
    """Train a network with BLOCK in its slots, or "baseline", and add its record to the ledger."""
    from attn_tutorial.spec import SpecError
    from attn_tutorial.study import Study
    from attn_tutorial.study.read_yaml import read_value

    def value(name: str, text: str) -> Any:
        try:
            return read_value(text, name)
        except SpecError:
            raise click.UsageError(f"{name} must be a number or a word, but got {text!r}.") from None

    change: dict[str, Any] = {"position": position, "block_options": {}}
    if block != "baseline":
        change["block"] = block
    for option in options:
        key, equals, text = option.partition("=")
        if not equals:
            raise click.UsageError(f"--option must be NAME=VALUE, such as reduction=8, but got {option!r}.")
        change["block_options"][key] = value("--option", text)
    if (chosen := value("--stages", f"[{stages}]")) != [1, 2, 3]:
        change["stages"] = chosen
    label = " ".join([block, *options])
    question = "One network of your own."
    start(
        Study.parse({"name": "single", "title": "One network", "question": question, "variants": {label: change}}),
        **how,
    )
