"""The `attn-tutorial` command: thin; imports what a command needs only when it runs."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from attn_tutorial import __version__

if TYPE_CHECKING:
    import pandas as pd

    from attn_tutorial.datasets import ImageSet
    from attn_tutorial.datasets.store import Prepared
    from attn_tutorial.ledger import Ledger
    from attn_tutorial.study import PlannedRun, Study

DATA_HELP = "auto, cifar10, shapes, or the folder or archive of CIFAR-10."
RESULTS = Path("data/runs")
_MOST_NAMED = 3  # files, of those that are left out


class _Group(click.Group):
    """A group whose commands turn the package's own errors into one message and exit status 2."""

    def invoke(self, ctx: click.Context) -> Any:
        from attn_tutorial.errors import InputError

        try:
            return super().invoke(ctx)
        except InputError as error:
            raise click.UsageError(str(error)) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Build visual attention blocks, train ablations of them in clutter, and read the results."""


@main.group()
def data() -> None:
    """Images: fetch CIFAR-10, see what is there, look at canvases, write them out."""


class _Folder(click.Path):
    """A folder, there or not; an empty text, which a script's unset variable leaves, is none."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("an empty text was given; name a folder, or leave the option out", param, ctx)
        return super().convert(value, param, ctx)


_root = click.option("--root", type=_Folder(), default=Path("data"), show_default=True, help="Folder of raw/.")
_data = click.option("--data", "images", default="auto", show_default=True, help=DATA_HELP)
_results = click.option("--results", type=_Folder(), default=RESULTS, show_default=True, help="Folder of the records.")


@data.command()
@_root
def fetch(root: Path) -> None:
    """Download CIFAR-10's official archive (170 MB) into ROOT/raw; an interrupted download goes on."""
    from attn_tutorial.datasets.sources.fetch import fetch_cifar10

    click.echo(f"CIFAR-10 is at {fetch_cifar10(root)}")


@data.command()
@_root
def hint(root: Path) -> None:
    """Say how to get CIFAR-10, where it is not at hand; otherwise nothing."""
    from attn_tutorial.datasets.store import HOW_TO_GET_CIFAR10, available_cifar10

    if available_cifar10(root) is None:
        click.echo(f"The built-in shapes were used, as CIFAR-10 was not found. {HOW_TO_GET_CIFAR10}")


@data.command()
@_root
@_data
def info(root: Path, images: str) -> None:
    """Say which images are used: source, fingerprint, classes."""
    from attn_tutorial.engine.images import prepare_images

    prepared, _ = prepare_images(images, root)
    for name in ("name", "source", "fingerprint", "archive_sha256", "folder"):
        click.echo(f"{name}: {getattr(prepared, name)}")
    click.echo(f"classes: {', '.join(prepared.classes)}")
    for split, counts in prepared.near_duplicates.items():
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        click.echo(f"{split} images that look like test images, and are never fragments: {kinds}")


_seed = click.option("--seed", default=0, show_default=True, help="Of the clutter.")
_feather = click.option(
    "--feather", default=0, show_default=True, help="Pixels over which pasted edges fade in: 0 (hard), 1 or 2."
)


@data.command()
@_root
@_data
@click.option("--types", help="Clutter types, composed, joined by +, as fragments+noise.  [default: each type alone]")
@click.option(
    "--images",
    "count",
    type=click.IntRange(1, 20),
    help="Images, one a row.  [default: 6 with --types; 1 for each type without]",
)
@_seed
@_feather
@click.option("--out", type=click.Path(path_type=Path), default=Path("preview.png"), show_default=True)
def preview(
    root: Path, images: str, types: str | None, count: int | None, seed: int, feather: Literal[0, 1, 2], out: Path
) -> None:
    """Draw a grid of canvases, severities 0 to 5 from left to right, with the tile outlined."""
    from attn_tutorial.errors import InputError
    from attn_tutorial.figures.canvases import severity_grid, type_grid

    if out.is_dir():
        raise InputError(f"--out {out} was given, which is a folder: give a file, as {out / 'preview.png'}")
    if not out.suffix:
        out = out.with_suffix(".png")
    test = _load(images, root, "test")
    if types is None:
        figure = type_grid(test, count or 1, seed, feather)
    else:
        figure = severity_grid(test, tuple(types.split("+")), count or 6, seed, feather)
    try:
        figure.savefig(out, dpi=150, bbox_inches="tight")
    except (OSError, ValueError) as error:
        raise InputError(
            f"--out {out} was given and cannot be written ({error}): "
            "give a .png, .svg or .pdf file in a folder that can"
        ) from None
    click.echo(f"{out}: {test.source}")


@data.command()
@_root
@_data
@click.option("--types", default="fragments+noise", show_default=True, help="Clutter types, composed, joined by +.")
@click.option("--severity", default=3, show_default=True, help="0 to 5.")
@click.option("--format", "form", default="npz", show_default=True, help="npz: one file of arrays; png: pictures.")
@click.option("--split", default="test", show_default=True, help="train, val, test or bank.")
@click.option("--images", "count", type=int, help="Images, as many of each class.  [default: the whole split]")
@click.option("--canvas", default=48, show_default=True, help="Side of the canvas in pixels.")
@_seed
@_feather
@click.option(
    "--out",
    type=_Folder(),
    help="Folder to make.  [default: named after what it holds, as shapes-test-fragments+noise-severity3, and what "
    "differs from the defaults, as -images1000-png]",
)
@click.option("--force", is_flag=True, help="Replace an earlier export, once the new one is whole.")
def export(
    root: Path, images: str, types: str, severity: int, form: str, split: str, count: int | None, canvas: int,
    seed: int, feather: Literal[0, 1, 2], out: Path | None, force: bool,
) -> None:  # fmt: skip
    """Write canvases with labels, masks, records of every fragment, and a data card, for use elsewhere."""
    from attn_tutorial.clutter import Clutter, export_canvases

    clutter = Clutter(tuple(types.split("+")), severity, canvas, seed, feather)
    chosen = _load(images, root, split)
    if count is not None:
        chosen = chosen.take(count)
    usual = Clutter()
    options = (
        ("images", count, None), ("canvas", canvas, usual.canvas), ("seed", seed, usual.seed),
        ("feather", feather, usual.feather), ("", form, "npz"),
    )  # fmt: skip
    differing = "".join(f"-{name}{given}" for name, given, default in options if given != default)
    out = out or Path(f"{chosen.name}-{split}-{types}-severity{severity}{differing}")
    export_canvases(chosen, clutter, out, form, force)
    click.echo(f"{out}: {len(chosen):,} canvases of {chosen.source}; CARD.md says what they are")


def _load(images: str, root: Path, split: str) -> "ImageSet":
    """One split of the images that --data and --root name."""
    from attn_tutorial.datasets import load_images
    from attn_tutorial.engine.images import prepare_images

    prepared, source = prepare_images(images, root)
    return load_images(prepared.name, split, root=root, source=source)


@main.command()
def blocks() -> None:
    """List the attention blocks with their options and parameters."""
    from attn_tutorial.blocks import BLOCK_OPTIONS, BLOCKS, build_block

    for name in BLOCKS:
        parameters = sum(weight.numel() for weight in build_block(name, 64).parameters())
        options = ", ".join(f"{key}={field.default!r}" for key, field in BLOCK_OPTIONS[name].model_fields.items())
        click.echo(f"{name:<14}{parameters:>7,} parameters at 64 channels   {options}")


@main.group()
def study() -> None:
    """Studies: run them, see where they are, read their tables."""


_name = click.argument("name")
_preset = click.option("--preset", default="quick", show_default=True, help="At what scale.")
_seeds = click.option("--seeds", type=int, help="Number of seeds; the preset's by default.")
_preset_data = click.option("--data", "images", help=DATA_HELP + " The preset's by default.")


def _together(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options as one decorator, in the order in which --help shows them."""
    return lambda command: functools.reduce(lambda made, option: option(made), reversed(options), command)


_planned = _together(_preset, _seeds, _root, _preset_data, _results)
_how = _together(
    click.option("--runner", default="auto", show_default=True, help="auto, serial, processes or ray."),
    click.option("--workers", type=int, help="Runs at a time; one a core by default."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps."),
    click.option("--address", default="", help="Of a Ray cluster: auto, or as 10.0.0.1:6379.  [default: Ray here]"),
    click.option("--gpus-per-run", type=float, help="With Ray, the share of a GPU that a run takes; 1 by default."),
    click.option("--checkpoint-every", default=60.0, show_default=True, help="Seconds between checkpoints."),
    click.option(
        "--precision",
        default="auto",
        show_default=True,
        help="Of training: float32, bfloat16, or auto: bfloat16 where the device computes in it.",
    ),
)


def _start(study: "str | Study", preset: str, seeds: int | None, images: str | None, results: Path, **how: Any) -> None:
    """Train what is missing, print the table, and exit with the status that says how it went."""
    from attn_tutorial.engine import StudyInterrupted
    from attn_tutorial.engine.start import start_study
    from attn_tutorial.ledger import Ledger

    try:
        runs, counts = start_study(study, preset, seeds, images, results, **how)
    except StudyInterrupted as stop:
        click.echo(str(stop), err=True)
        sys.exit(130)
    ledger = Ledger(results)
    frame = ledger.frame(runs)
    for source in frame["source"].unique():
        click.echo(f"{source}; preset {preset}")
    _show_accuracies(frame)
    for planned in runs:
        record = ledger.get(planned.run_id)
        if record and record.error:
            reason = record.error.splitlines()[0]
            click.echo(f"{planned.variant} seed {planned.spec.seed} {record.status}: {reason}", err=True)
    if set(counts) != {"done"}:
        click.echo(f"not all runs are done: {counts}; the records are in {results}", err=True)
        sys.exit(1)


@study.command()
@_name
@_planned
@_how
def run(name: str, **how: Any) -> None:
    """Train what the ledger lacks of study NAME; stop with Ctrl-C, go on with the same command."""
    _start(name, **how)


@data.command()
@_together(_preset, _root, _preset_data, _results)
@_how
def audit(preset: str, images: str | None, root: Path, results: Path, **how: Any) -> None:
    """Check that the clutter benchmark keeps its five promises, and write the report that the book shows.

    Trains what RESULTS lacks of study `audit`; stop with Ctrl-C, go on with the same command. Exits with 1 where a
    promise is not kept.
    """
    from attn_tutorial.audit.report import SEEDS, run_audit

    _start("audit", preset, SEEDS, images, results, root=root, **how)
    click.echo("Now the gates: this takes minutes, and seconds at preset smoke.")
    report = run_audit(preset, images, root, results)
    for number, gate in enumerate(report.gates, 1):
        click.echo(f"gate {number}, {gate.title}: {'passed' if gate.passed else 'FAILED'}")
        click.echo(f"  promised: {gate.promised}\n  measured: {gate.measured}")
    click.echo(f"The report is {results / report.file_name()}")
    networks = (report.no_leak, report.decline)
    if not report.is_result:
        click.echo(
            f"Preset {preset} shows that everything works: its networks are no result, gates 1 and 3 no verdict."
        )
    judged = [gate for gate in report.gates if report.is_result or gate not in networks]
    if failed := [str(number) for number, gate in enumerate(report.gates, 1) if gate in judged and not gate.passed]:
        click.echo(f"The benchmark does not pass: gate {', '.join(failed)} failed.", err=True)
        sys.exit(1)


@main.command()
@click.argument("block")
@click.option(
    "--option", "options", multiple=True, metavar="NAME=VALUE", help="Of the block, as reduction=8; repeatable."
)
@click.option("--stages", default="1,2,3", show_default=True, help="Stages whose slots hold the block.")
@click.option("--position", default="standard", show_default=True, help="In the unit: standard, pre, post or identity.")
@_planned
@_how
def train(block: str, options: tuple[str, ...], stages: str, position: str, **how: Any) -> None:
    """Train a network with BLOCK in its slots, or "baseline", and add its record to the ledger."""
    from attn_tutorial.spec import SpecError
    from attn_tutorial.study import Study
    from attn_tutorial.study.read_yaml import read_value

    def value(name: str, text: str) -> Any:
        try:
            return read_value(text, name)
        except SpecError:
            raise click.UsageError(f"{name} {text!r} was given, which is no value: write a number or a word") from None

    change: dict[str, Any] = {"position": position, "block_options": {}}
    if block != "baseline":
        change["block"] = block
    for option in options:
        key, equals, text = option.partition("=")
        if not equals:
            raise click.UsageError(f"--option {option!r} was given; write NAME=VALUE, as reduction=8")
        change["block_options"][key] = value("--option", text)
    if (chosen := value("--stages", f"[{stages}]")) != [1, 2, 3]:
        change["stages"] = chosen
    label = " ".join([block, *options])
    question = "One network of your own."
    _start(
        Study.parse({"name": "single", "title": "One network", "question": question, "variants": {label: change}}),
        **how,
    )


@study.command("list")
@_preset
@_root
@click.option("--measure", is_flag=True, help="Time each network for some seconds, for the estimates of time.")
def list_studies(preset: str, root: Path, measure: bool) -> None:
    """List the studies, with their runs and the time they would take at PRESET, and the presets."""
    from attn_tutorial.engine.estimate import Speeds, in_words
    from attn_tutorial.engine.images import likely_images
    from attn_tutorial.study import Preset, Study, preset_names, study_names

    images = likely_images(preset, root)
    studies = {name: Study.load(name) for name in study_names()}
    plans = {name: loaded.plan(preset, images) for name, loaded in studies.items()}
    speeds = Speeds(root)
    if measure:
        speeds.measure(run.spec for runs in plans.values() for run in runs)
    click.echo(f"Studies (what is compared), at preset {preset} on {images.name}:")
    click.echo(f"  {'':<20}{'variants':>9}{'runs':>6}  {'one core':<10}")
    times = {name: speeds.seconds(runs) for name, runs in plans.items()}
    for name, runs in plans.items():
        seconds = times[name]
        time = "?" if seconds is None else in_words(seconds)
        click.echo(f"  {name:<20}{len(studies[name].variants):>9}{len(runs):>6}  {time:<10}{studies[name].title}")
    if None in times.values():
        click.echo("  ?: not measured on this machine; --measure does, about a second a network on a CPU")
    click.echo("Presets (at what scale):")
    for name in preset_names():
        click.echo(f"  {name:<20}{Preset.load(name).description}")
    click.echo("NAME may also be a YAML file of your own: book/rerun.md says what is in it.")


@study.command()
@_name
@_planned
def status(name: str, preset: str, seeds: int | None, root: Path, images: str | None, results: Path) -> None:
    """Say which runs of study NAME are done, running, stopped, failed, damaged or missing, and what time is left."""
    from attn_tutorial.engine.estimate import Speeds, in_words
    from attn_tutorial.engine.status import study_status
    from attn_tutorial.ledger import Ledger

    planned, _ = _plan(name, preset, seeds, root, images)
    ledger = Ledger(results)
    found = study_status(planned, ledger)
    width = max(len(run.variant) for run in planned) + 2
    lines = []
    for run in found.runs:
        seed = f"seed {run.run.spec.seed}"
        lines.append(f"{run.run.run_id}  {run.run.variant:<{width}}{seed:<9}{run.state:<9}{run.detail}".rstrip())
    click.echo("\n".join(lines))
    counts = ", ".join(f"{count} {state}" for state, count in found.counts().items())
    missing = [run.run for run in found.runs if run.state not in ("done", "diverged")]
    seconds = found.seconds_left if found.seconds_left is not None else Speeds(root).seconds(missing)
    left = "none left" if not missing else "time left unknown until a run is done" if seconds is None else (
        f"about {in_words(seconds)} of one process left"
    )  # fmt: skip
    click.echo(f"{len(found.runs)} runs: {counts}; {left}")
    _say_unusable(ledger, planned)


@study.command()
@_name
@_planned
def table(name: str, preset: str, seeds: int | None, root: Path, images: str | None, results: Path) -> None:
    """Print accuracy in percent by variant and severity."""
    frame, source = _frame(name, preset, seeds, root, images, results)
    click.echo(f"{source}; preset {preset}")
    _show_accuracies(frame)


@study.command("export")
@_name
@_planned
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="File to write: .csv or .parquet, by its end."
)
def export_results(
    name: str, preset: str, seeds: int | None, root: Path, images: str | None, results: Path, out: Path
) -> None:  # fmt: skip
    """Write the results of study NAME as a tidy table: a row for each run, composition of types and severity."""
    from attn_tutorial.ledger.table_files import write_table

    frame, source = _frame(name, preset, seeds, root, images, results)
    write_table(frame, out)
    click.echo(f"{out}: {len(frame):,} rows of {frame['run_id'].nunique()} runs; {source}; preset {preset}")


@study.command()
@_name
@_together(_preset, _root, _preset_data, _results)
@click.option("--variant", "variants", multiple=True, help="Whose network; repeatable.  [default: all that are done]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of which seed.")
@click.option("--out", type=_Folder(), required=True, help="Folder for the files and a model card.")
def networks(
    name: str, preset: str, root: Path, images: str | None, results: Path, variants: tuple[str, ...], seed: int,
    out: Path,
) -> None:  # fmt: skip
    """Write trained networks of study NAME as ONNX files that give their attention maps, too, with a model card.

    The weights are those that a run leaves in RESULTS/weights.
    """
    from attn_tutorial.datasets import load_images
    from attn_tutorial.ledger import Ledger
    from attn_tutorial.ledger.onnx import export_networks
    from attn_tutorial.study import Study

    planned, prepared, source = _planned_runs(name, preset, seed + 1, root, images)
    known = list(Study.load(name).variants)
    if unknown := [variant for variant in variants if variant not in known]:
        raise click.UsageError(f"--variant {unknown[0]!r} was given; allowed are {', '.join(known)}")
    chosen = [run for run in planned if run.spec.seed == seed and (not variants or run.variant in variants)]
    ledger = Ledger(results)
    records = [(run.variant, ledger.get(run.run_id)) for run in chosen]
    named = [(name, record) for name, record in records if record]
    # One that ended badly is left out, unless it was asked for by name or there is no other: the export says why.
    ended_well = [(name, record) for name, record in named if record.status == "done"]
    named = named if variants or not ended_well else ended_well
    lacking = [run.variant for run in chosen if run.variant not in dict(named)]
    if lacking and (variants or not named):
        raise click.ClickException(
            f"no run of {', '.join(lacking)} with seed {seed} at preset {preset!r} is in {results}: run it first"
        )
    classes = load_images(prepared.name, "test", root=root, source=source).classes
    for path in export_networks(ledger, named, classes, out):
        click.echo(f"{path}: {path.stat().st_size:,} bytes")


@study.command()
@_name
@_planned
@click.option("--sample", default=1, show_default=True, help="How many runs to train again, drawn at random.")
@click.option("--draw", type=int, help="Seed of the draw, to draw the same runs again.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
def verify(
    name: str, preset: str, seeds: int | None, root: Path, images: str | None, results: Path, sample: int,
    draw: int | None, device: str,
) -> None:  # fmt: skip
    """Train some runs of study NAME again and compare them with their records; exits with 1 where one is not the same.

    The same machine kind, versions, threads and precision must give the same weights bit for bit. Where one of these
    differs, other weights are reported, with what differs, and are no failure.
    """
    from attn_tutorial.engine.setting import Setting
    from attn_tutorial.engine.study_progress import Report
    from attn_tutorial.engine.verify import draw_runs, verify

    planned, prepared, source = _planned_runs(name, preset, seeds, root, images)
    setting = Setting(name, preset, prepared, root, source, results, device, checkpoint_every=60.0)
    drawn = draw_runs(planned, setting.results, sample, draw)
    with Report([run for run, _ in drawn], already=0) as report:
        found = verify(drawn, setting, lambda run, progress: report.progress(run.run_id, progress))
    for comparison in found:
        click.echo(comparison.sentence())
    if not all(comparison.passed for comparison in found):
        sys.exit(1)


@study.command()
@click.argument("sources", nargs=-1, required=True, type=_Folder())
@click.option("--into", type=_Folder(), default=RESULTS, show_default=True, help="Folder to add them to.")
def merge(sources: tuple[Path, ...], into: Path) -> None:
    """Copy the records of results folders SOURCES into another; exits with 1 where two records of a run differ.

    A run that is done takes the place of one that failed. Where both are done and differ, the one that is there stays.
    """
    from attn_tutorial.ledger.merge import merge

    merged = merge(sources, into)
    click.echo(
        f"{into}: {len(merged.added)} records added, {len(merged.replaced)} replaced as they had not been done, "
        f"{len(merged.there)} were there"
    )
    for path, cause in merged.refused.items():
        click.echo(f"{path} was left out: {cause}", err=True)
    for run_id, difference in merged.kept.items():
        click.echo(f"run {run_id}: the record in {into} stays; it and the other are {difference}", err=True)
    if merged.kept or merged.refused:
        sys.exit(1)


def _show_accuracies(frame: "pd.DataFrame") -> None:
    """Print accuracy by variant and severity, backbones apart."""
    from attn_tutorial.figures.tables import accuracy_table

    for backbone, rows in frame.groupby("backbone", sort=False):
        click.echo(f"{backbone}; seeds: {rows['seed'].nunique()}")
        click.echo(accuracy_table(rows).to_string())


def _frame(
    name: str, preset: str, seeds: int | None, root: Path, images: str | None, results: Path
) -> "tuple[pd.DataFrame, str]":
    """What a ledger holds of a study on the images at hand, and what these are."""
    from attn_tutorial.ledger import Ledger

    planned, source = _plan(name, preset, seeds, root, images)
    ledger = Ledger(results)
    frame = ledger.frame(planned)
    _say_unusable(ledger, planned)
    if frame.empty:
        raise click.ClickException(
            f"no run of study {name!r} at preset {preset!r} on these images is in {results}: run it first"
        )
    return frame, source


def _say_unusable(ledger: "Ledger", planned: "list[PlannedRun]") -> None:
    """Name files beside a plan's own records that are left out, as damaged ones and those of another version."""
    unusable = ledger.unusable(besides=planned)
    for name, cause in list(unusable.items())[:_MOST_NAMED]:
        click.echo(f"{ledger.folder / name} is left out: {cause}", err=True)
    if (more := len(unusable) - _MOST_NAMED) > 0:
        click.echo(f"and {more} more files in {ledger.folder} are left out", err=True)


def _plan(name: str, preset: str, seeds: int | None, root: Path, images: str | None) -> "tuple[list[PlannedRun], str]":
    """The runs of a study on the images at hand, and what these are."""
    runs, prepared, _ = _planned_runs(name, preset, seeds, root, images)
    return runs, prepared.source


def _planned_runs(
    name: str, preset: str, seeds: int | None, root: Path, images: str | None
) -> "tuple[list[PlannedRun], Prepared, Path | None]":
    from attn_tutorial.engine.images import prepare_images
    from attn_tutorial.study import Study

    loaded = Study.load(name)
    prepared, source = prepare_images(images, root, preset)
    return loaded.plan(preset, prepared, seeds), prepared, source
