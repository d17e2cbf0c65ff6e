"""`attn-tutorial benchmark`: test networks of any origin on the benchmark, and write a claim."""

from pathlib import Path
from typing import Any

import click

from attn_tutorial.cli import options as shared

_THREE = "three numbers, separated by commas"


def _colours(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise click.BadParameter(f"it must be {_THREE}, such as 0.5,0.5,0.5, but got {text!r}.", ctx, param)
    return numbers


@click.command()
@click.argument("files", nargs=-1, required=True, type=shared.FILE)
@click.option(
    "--reads",
    type=click.Choice(["uint8", "0-1", "imagenet", "package"]),
    help="What the network reads: pixels as they are (uint8), 0 to 1, normalised as for ImageNet, or as this package's "
    "own networks. By default uint8; ONNX files that read floats need this, or --mean and --std.",
)
@click.option("--mean", callback=_colours, help=f"Mean of each colour on the scale 0 to 1: {_THREE}.")
@click.option("--std", callback=_colours, help=f"Deviation of each colour on the scale 0 to 1: {_THREE}.")
@click.option("--side", type=click.IntRange(1, 2048), help="Resize canvases to this side first, in pixels.")
@shared.data
@shared.root
@click.option(
    "--size", type=click.Choice(["16", "24", "32"]), default="24", show_default=True, help="Side of the target."
)
@click.option("--canvas", type=click.IntRange(16, 1024), default=48, show_default=True, help="Side of the canvas.")
@click.option("--images", "count", type=click.IntRange(10), help="Test this many images only, for a quick look.")
@click.option("--device", default="cpu", show_default=True, help="Where to compute, such as cuda. ONNX uses the CPU.")
@click.option("--claim", "name", metavar="NAME", help="Write what was reached as a claim of this name.")
@click.option(
    "--claims", type=shared.FOLDER, default=Path("data/claims"), show_default=True, help="The folder of claims."
)
@click.option("--seeds", metavar="N,N,...", help="The training seed of each file. By default 0, 1, 2, ...")
@click.option("--trained-on", default="", metavar="TYPE,TYPE,...", help="The clutter types that training showed.")
@click.option("--severities", default="", metavar="N,N,...", help="Their severities in training.")
@click.option("--pretraining", help='The data of an earlier training, such as "ImageNet-1k".')
@click.option("--by", default="", help="Who claims it.")
@click.option("--link", default="", help="Where the network or its code is.")
@click.option("--replace", is_flag=True, help="Replace a claim of the same name.")
def benchmark(
    files: tuple[Path, ...],
    reads: str | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    side: int | None,
    images: str,
    root: Path,
    size: str,
    canvas: int,
    count: int | None,
    device: str,
    name: str | None,
    claims: Path,
    seeds: str | None,
    trained_on: str,
    severities: str,
    pretraining: str | None,
    by: str,
    link: str,
    replace: bool,
) -> None:
    """Test networks from FILES on the benchmark: ONNX, torch.export (.pt2) or TorchScript (.pt).

    Several files are one network that was trained with several seeds. The command prints the accuracy in every
    condition and the distraction costs with 95 % intervals. With --claim it also writes them, with the answers to every
    image, as a file that others can check.
    """
    from attn_tutorial.benchmark import benchmark as test
    from attn_tutorial.benchmark.claim import check_claim
    from attn_tutorial.engine.images import prepare_images

    about: dict[str, Any] = {
        "seeds": _whole(seeds, "--seeds") if seeds else None,
        "trained_on": [part.strip() for part in trained_on.split(",") if part.strip()],
        "severities": _whole(severities, "--severities"),
        "pretraining": pretraining,
        "replace": replace,
    }
    if name is not None and count is not None:
        raise click.UsageError("--claim must be about all test images: leave --images out.")
    if name is not None:
        check_claim(len(files), name, claims, **about)  # now, because a test takes long
    prepared, source = prepare_images(images, root)
    result = test(
        list(files),
        prepared.name,
        _reads(reads, mean, std, side),
        canvas=canvas,
        size=int(size),
        device=device,
        root=root,
        source=source,
        count=count,
    )
    click.echo(str(result))
    if name is not None:
        path = result.claim(name, claims, by=by, link=link, **about)
        click.echo(f"the claim is in {path}; attn-tutorial claims checks it")


@click.command("claims")
@click.option(
    "--claims", type=shared.FOLDER, default=Path("data/claims"), show_default=True, help="The folder of claims."
)
@shared.data
@shared.root
def check_claims(claims: Path, images: str, root: Path) -> None:
    """Check every claim in a folder, and print the table of all that are valid.

    Checked are the schema, the hashes of the answers, that the answers give the stated accuracies, and, where the
    images are the claim's own with targets of 24 pixels, the labels. The exit status is 1 if a claim is left out.
    """
    from attn_tutorial.benchmark import leaderboard, read_claims
    from attn_tutorial.datasets import load_images
    from attn_tutorial.engine.images import prepare_images

    prepared, source = prepare_images(images, root)
    found, left_out = read_claims(claims, load_images(prepared.name, "test", root, source, 24))
    for (about, training), table in leaderboard(found).items():
        click.echo(f"{about}\ntraining saw {training}\n{table.to_string()}\n")
    for file, reason in left_out.items():
        click.echo(f"left out {file}: {reason}", err=True)
    if not found and not left_out:
        click.echo(f"there is no claim in {claims}")
    if left_out:
        raise SystemExit(1)


def _reads(reads: str | None, mean: tuple[float, ...] | None, std: tuple[float, ...] | None, side: int | None) -> Any:
    from attn_tutorial.benchmark import Reads
    from attn_tutorial.benchmark.reads import NAMED

    if (mean is None) != (std is None):
        raise click.UsageError("--mean and --std must be given together.")
    if mean is not None:
        if reads is not None:
            raise click.UsageError("--reads must be left out where --mean and --std are given.")
        return Reads.parse({"pixels": "float", "mean": mean, "std": std, "side": side})
    if side is None or reads is None:
        if side is not None:
            raise click.UsageError("--side needs --reads, or --mean and --std.")
        return reads
    return NAMED[reads].model_copy(update={"side": side})


def _whole(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise click.UsageError(f"{option} must be whole numbers separated by commas, but got {text!r}.") from None
