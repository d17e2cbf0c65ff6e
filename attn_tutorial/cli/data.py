"""`attn-tutorial data`: images, canvases, and the promises of the clutter benchmark."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from attn_tutorial.cli import options as shared
from attn_tutorial.cli.start import start
from attn_tutorial.datasets.names import SIZES, SPLITS

if TYPE_CHECKING:
    from attn_tutorial.datasets import ImageSet


@click.group()
def data() -> None:
    """Images: fetch CIFAR-10, see what is there, look at canvases, write them to files, check the benchmark."""


@data.command()
@shared.root
def fetch(root: Path) -> None:
    """Download CIFAR-10's official archive (170 MB) into ROOT/raw. An interrupted download goes on."""
    from attn_tutorial.datasets.sources.fetch import fetch_cifar10

    click.echo(f"CIFAR-10 is at {fetch_cifar10(root)}")


@data.command()
@shared.root
def hint(root: Path) -> None:
    """Say how to get CIFAR-10 if it is not at hand; otherwise say nothing."""
    from attn_tutorial.datasets.store import HOW_TO_GET_CIFAR10, available_cifar10

    if available_cifar10(root) is None:
        click.echo(f"The built-in shapes were used, because CIFAR-10 was not found. {HOW_TO_GET_CIFAR10}")


@data.command()
@shared.root
@shared.data
def info(root: Path, images: str) -> None:
    """Show which images are used: source, fingerprint, classes."""
    from attn_tutorial.engine.images import prepare_images

    prepared, _ = prepare_images(images, root)
    for name in ("name", "source", "fingerprint", "archive_sha256", "folder"):
        click.echo(f"{name}: {getattr(prepared, name)}")
    click.echo(f"classes: {', '.join(prepared.classes)}")
    for split, counts in prepared.near_duplicates.items():
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        click.echo(f"{split} images that look like test images, and are never fragments: {kinds}")


_seed = click.option("--seed", default=0, show_default=True, help="Seed of the clutter.")
_feather = click.option(
    "--feather", default=0, show_default=True, help="Pixels over which pasted edges fade in: 0 (hard), 1 or 2."
)


_size = click.option(
    "--size",
    type=click.Choice([str(size) for size in SIZES]),
    default="24",
    show_default=True,
    help="Side of the target in pixels, to which the images are resized.",
)
_canvas = click.option("--canvas", default=48, show_default=True, help="Side of the canvas in pixels.")


@data.command()
@shared.root
@shared.data
@_size
@_canvas
@click.option("--types", help="Clutter types to compose, such as surround+noise.  [default: each type alone]")
@click.option(
    "--images",
    "count",
    type=click.IntRange(1, 20),
    help="How many images, one in each row.  [default: 6 with --types; otherwise 1 for each type]",
)
@_seed
@_feather
@click.option("--out", type=shared.FILE, default=Path("preview.png"), show_default=True)
def preview(
    root: Path,
    images: str,
    size: str,
    canvas: int,
    types: str | None,
    count: int | None,
    seed: int,
    feather: Literal[0, 1, 2],
    out: Path,
) -> None:
    """Draw a grid of canvases, severities 0 to 5 from left to right, with the tile outlined."""
    from attn_tutorial.errors import InputError
    from attn_tutorial.figures.canvases import severity_grid, type_grid

    if out.is_dir():
        raise InputError(f"--out must be a file, such as {out / 'preview.png'}, but {out} is a folder.")
    if not out.suffix:
        out = out.with_suffix(".png")
    test = _load(images, root, "test", int(size))
    if types is None:
        figure = type_grid(test, count or 1, seed, feather, canvas)
    else:
        figure = severity_grid(test, tuple(types.split("+")), count or 6, seed, feather, canvas)
    try:
        figure.savefig(out, dpi=150, bbox_inches="tight")
    except (OSError, ValueError) as error:
        raise InputError(
            f"--out must be a .png, .svg or .pdf file in a folder that can be written, but {out} cannot be written "
            f"({error})."
        ) from None
    click.echo(f"{out}: {test.source}")


@data.command()
@shared.root
@shared.data
@click.option("--types", default="surround+noise", show_default=True, help="Clutter types to compose, joined by +.")
@click.option("--severity", default=3, show_default=True, help="0 to 5.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["npz", "png"]),
    default="npz",
    show_default=True,
    help="npz: one file of arrays; png: pictures.",
)
@click.option("--split", type=click.Choice(SPLITS), default="test", show_default=True, help="Of which images.")
@click.option("--images", "count", type=int, help="How many images, equally many of each class.  [default: all]")
@_size
@_canvas
@_seed
@_feather
@click.option(
    "--out",
    type=shared.FOLDER,
    help="Folder to make.  [default: a name that says what it contains, such as shapes-test-surround+noise-severity3, "
    "and what differs from the defaults, such as -images1000-png]",
)
@click.option("--force", is_flag=True, help="Replace an earlier export when the new one is complete.")
def export(
    root: Path, images: str, types: str, severity: int, form: str, split: str, count: int | None, size: str,
    canvas: int, seed: int, feather: Literal[0, 1, 2], out: Path | None, force: bool,
) -> None:  # fmt: skip
    """Write canvases with labels, masks, a record of every fragment and a data card, for use elsewhere."""
    from attn_tutorial.clutter import Clutter, export_canvases

    clutter = Clutter(tuple(types.split("+")), severity, canvas, seed, feather)
    chosen = _load(images, root, split, int(size))
    if count is not None:
        chosen = chosen.take(count)
    usual = Clutter()
    options = (
        ("images", count, None), ("size", size, "24"), ("canvas", canvas, usual.canvas), ("seed", seed, usual.seed),
        ("feather", feather, usual.feather), ("", form, "npz"),
    )  # fmt: skip
    differing = "".join(f"-{name}{given}" for name, given, default in options if given != default)
    out = out or Path(f"{chosen.name}-{split}-{types}-severity{severity}{differing}")
    export_canvases(chosen, clutter, out, form, force)
    click.echo(f"{out}: {len(chosen):,} canvases of {chosen.source}; CARD.md says what they are")


def _load(images: str, root: Path, split: str, size: int) -> "ImageSet":
    """Return one split of the images that --data and --root name, in a size in pixels."""
    from attn_tutorial.datasets import load_images
    from attn_tutorial.engine.images import prepare_images

    prepared, source = prepare_images(images, root)
    return load_images(prepared.name, split, root=root, source=source, size=size)


@data.command()
@shared.together(shared.preset, shared.root, shared.preset_data, shared.results)
@shared.run_options()
def audit(preset: str, images: str | None, root: Path, results: Path, **how: Any) -> None:
    """Check that the clutter benchmark keeps its six promises, and write the report that the book shows.

    Trains what RESULTS lacks of study `audit`. Stop with Ctrl-C; the same command goes on. Exits with 1 if a promise is
    not kept.
    """
    from attn_tutorial.audit.report import SEEDS, run_audit

    start("audit", preset, SEEDS, images, results, root=root, **how)
    click.echo("Now the promises: this takes minutes, and seconds at preset smoke.")
    report = run_audit(preset, images, root, results)
    for number, promise in enumerate(report.promises, 1):
        click.echo(f"promise {number}, {promise.title}: {'passed' if promise.passed else 'FAILED'}")
        click.echo(f"  promised: {promise.promised}\n  measured: {promise.measured}")
    click.echo(f"The report is {results / report.file_name()}")
    if not report.is_result:
        click.echo(
            f"Preset {preset} shows that everything works: its networks are not a result, so what promises 1, 3 and 4 "
            "say about networks is not judged."
        )
    if report.broken:
        click.echo(f"The benchmark does not pass: promise {', '.join(map(str, report.broken))} failed.", err=True)
        sys.exit(1)
