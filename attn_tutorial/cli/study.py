"""`attn-tutorial study`: run studies, see where they are, read and check their results."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attn_tutorial.cli import options as shared
from attn_tutorial.cli.start import show_accuracies, start

if TYPE_CHECKING:
    import pandas as pd

    from attn_tutorial.datasets.store import Prepared
    from attn_tutorial.ledger import Ledger
    from attn_tutorial.spec import EvaluationSpec
    from attn_tutorial.study import PlannedRun

_MOST_NAMED = 3  # files that are left out


@click.group()
def study() -> None:
    """Studies: run them, see where they are, read their tables, check and extend their records."""


@study.command()
@shared.study_name
@shared.planned
@shared.run_options()
def run(name: str, **how: Any) -> None:
    """Train what the ledger lacks of study NAME. Stop with Ctrl-C; the same command goes on."""
    start(name, **how)


@study.command("list")
@shared.preset
@shared.root
@click.option("--measure", is_flag=True, help="Time each network for a few seconds, to estimate the times.")
def list_studies(preset: str, root: Path, measure: bool) -> None:
    """List the studies with their runs and the time that they would take at PRESET, and the presets."""
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
    click.echo("NAME may also be a YAML file of your own; book/rerun.md says how to write one.")


@study.command()
@shared.study_name
@shared.planned
def status(name: str, preset: str, seeds: int | None, root: Path, images: str | None, results: Path) -> None:
    """Show which runs of study NAME are done, running, stopped, failed, damaged or missing, and the time left."""
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
        lines.append(f"{run.run_id}  {run.run.variant:<{width}}{seed:<9}{run.state:<9}{run.detail}".rstrip())
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
@shared.study_name
@shared.planned
def table(name: str, preset: str, seeds: int | None, root: Path, images: str | None, results: Path) -> None:
    """Print accuracy in percent by variant and severity, and distraction costs by kind of clutter."""
    frame, source = _frame(name, preset, seeds, root, images, results)
    click.echo(f"{source}; preset {preset}")
    show_accuracies(name, frame)


@study.command("export")
@shared.study_name
@shared.planned
@click.option("--out", type=shared.FILE, required=True, help="The file to write; it ends in .csv or .parquet.")
@click.option(
    "--answers", is_flag=True, help="Write the class that each network names for each image: millions of rows."
)
def export_results(
    name: str, preset: str, seeds: int | None, root: Path, images: str | None, results: Path, out: Path, answers: bool
) -> None:
    """Write the results of study NAME as a tidy table: a row for each run, clutter composition and severity.

    With --answers, write a row for each run, clutter composition, severity and image: its true class, and the class
    that the network names.
    """
    from attn_tutorial.ledger.table_files import write_table

    if answers:
        _export_answers(name, preset, seeds, root, images, results, out)
        return
    frame, source = _frame(name, preset, seeds, root, images, results)
    write_table(frame, out)
    click.echo(f"{out}: {len(frame):,} rows of {frame['run_id'].nunique()} runs; {source}; preset {preset}")


@study.command()
@shared.study_name
@shared.together(shared.preset, shared.root, shared.preset_data, shared.results)
@click.option("--variant", "variants", multiple=True, help="Whose network; repeatable.  [default: all that are done]")
@click.option("--seed", type=click.IntRange(0), help="The seed of the runs.  [default: the study's first one]")
@click.option("--out", type=shared.FOLDER, required=True, help="Folder for the files and a model card.")
@click.option("--gate-inputs", is_flag=True, help="Add inputs that replace attention maps, to freeze or to swap them.")
def networks(
    name: str, preset: str, root: Path, images: str | None, results: Path, variants: tuple[str, ...],
    seed: int | None, out: Path, gate_inputs: bool,
) -> None:  # fmt: skip
    """Write trained networks of study NAME as ONNX files, which also return the attention maps, with a model card.

    A run leaves its weights in RESULTS/weights.
    """
    from attn_tutorial.datasets import load_images
    from attn_tutorial.engine.images import prepare_images
    from attn_tutorial.ledger import Ledger
    from attn_tutorial.ledger.onnx import export_networks
    from attn_tutorial.study import Study

    loaded = Study.load(name)
    prepared, source = prepare_images(images, root, preset)
    seed = loaded.first_seed if seed is None else seed
    planned = loaded.plan_seeds(preset, prepared, [seed])
    known = list(loaded.variants)
    if unknown := [variant for variant in variants if variant not in known]:
        raise click.UsageError(f"--variant must be one of {', '.join(known)}, but got {unknown[0]!r}.")
    chosen = [run for run in planned if not variants or run.variant in variants]
    ledger = Ledger(results)
    records = [(run.variant, ledger.get(run)) for run in chosen]
    named = [(name, record) for name, record in records if record]
    # A run that ended badly is left out, unless it was named or there is no other: then the export says why.
    ended_well = [(name, record) for name, record in named if record.status == "done"]
    named = named if variants or not ended_well else ended_well
    lacking = [run.variant for run in chosen if run.variant not in dict(named)]
    if lacking and (variants or not named):
        raise click.ClickException(
            f"no run of {', '.join(lacking)} with seed {seed} at preset {preset!r} is in {results}. Run it first."
        )
    classes = load_images(prepared.name, "test", root=root, source=source).classes
    for path in export_networks(ledger, named, classes, out, gate_inputs):
        click.echo(f"{path}: {path.stat().st_size:,} bytes")


@study.command()
@shared.study_name
@shared.planned
@click.option("--sample", default=1, show_default=True, help="How many runs to train again, drawn at random.")
@click.option("--draw", type=int, help="Seed of the draw, to draw the same runs again.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 100),
    default=0.5,
    show_default=True,
    help="Points by which mean accuracies may differ where the circumstances differ.",
)
@shared.run_options("device", "precision")
def verify(
    name: str, preset: str, seeds: int | None, root: Path, images: str | None, results: Path, sample: int,
    draw: int | None, tolerance: float, device: str, precision: str,
) -> None:  # fmt: skip
    """Train some runs of study NAME again and compare them with their records. Exit with 1 if one fails.

    In equal circumstances (machine, versions, threads, precision) the weights must be the same, bit for bit. In other
    circumstances a run fails if its mean accuracy is farther from the record's than the tolerance: the whole 95 %
    interval of the difference must lie beyond it. The difference is taken image by image, where answers are kept.
    """
    from attn_tutorial.engine.options import RunOptions
    from attn_tutorial.engine.setting import Setting
    from attn_tutorial.engine.study_progress import StudyProgress
    from attn_tutorial.engine.verify import draw_runs, verify

    planned, prepared, source = _planned_runs(name, preset, seeds, root, images)
    options = RunOptions.parse({"device": device, "precision": precision})
    setting = Setting(name, preset, prepared, root, source, results, options)
    drawn = draw_runs(planned, setting.results, sample, draw)
    with StudyProgress([run for run, _ in drawn], already=0) as progress_bar:
        found = verify(
            drawn, setting, planned, tolerance, lambda run, progress: progress_bar.progress(run.run_id, progress)
        )
    for comparison in found:
        click.echo(comparison.sentence())
    if not all(comparison.passed for comparison in found):
        sys.exit(1)


@study.command("evaluate")
@shared.study_name
@shared.planned
@click.option("--types", multiple=True, help="Clutter types, joined by +; repeatable.  [default: the plan's]")
@click.option("--severities", help="Severities to test at, such as 0,3,5.  [default: the plan's]")
@shared.run_options("device")
def evaluate_runs(
    name: str, preset: str, seeds: int | None, root: Path, images: str | None, results: Path, types: tuple[str, ...],
    severities: str | None, device: str,
) -> None:  # fmt: skip
    """Test finished runs of study NAME on more conditions, without training, and add the results to their records.

    Without --types and --severities these are the conditions that the study asks for and a record lacks, for example
    because a clutter type is new or has changed. The weights are those that a run leaves in RESULTS/weights. Exits with
    1 if a run could not be tested because its weights are missing.
    """
    from attn_tutorial.engine.options import RunOptions
    from attn_tutorial.engine.retest import retest
    from attn_tutorial.engine.setting import Setting

    planned, prepared, source = _planned_runs(name, preset, seeds, root, images)
    setting = Setting(name, preset, prepared, root, source, results, RunOptions.parse({"device": device}))
    found = retest(planned, setting, _conditions(planned[0].spec.evaluation, types, severities))
    for run, count in found.added.items():
        click.echo(f"{run}: tested on {count} more conditions, which are in its record now")
    click.echo(f"tested: {len(found.added)}; nothing left to test: {len(found.complete)}")
    for what, runs in (("not trained yet", found.not_done), ("in use by another process", found.busy)):
        if runs:
            click.echo(f"{what}: {', '.join(runs)}", err=True)
    for cause in found.without_weights.values():
        click.echo(cause, err=True)
    if found.without_weights or found.busy:
        sys.exit(1)


def _conditions(usual: "EvaluationSpec", types: tuple[str, ...], severities: str | None) -> "EvaluationSpec | None":
    """Return what --types and --severities ask for; None without them."""
    from attn_tutorial.spec import EvaluationSpec, SpecError

    if not types and severities is None:
        return None
    try:
        chosen = usual.severities if severities is None else tuple(int(each) for each in severities.split(","))
    except ValueError:
        raise SpecError(f"--severities must be numbers from 0 to 5, such as 0,3,5, but got {severities!r}.") from None
    values = {**usual.model_dump(), "types": types or usual.types, "severities": chosen, "recalibrated": ()}
    return EvaluationSpec.parse({**values, "look": None})


@study.command()
@click.argument("sources", nargs=-1, required=True, type=shared.FOLDER)
@click.option(
    "--into", type=shared.FOLDER, default=shared.RESULTS, show_default=True, help="The folder that gets the records."
)
def merge(sources: tuple[Path, ...], into: Path) -> None:
    """Copy the records of results folders SOURCES into another one. Exit with 1 if two records of a run differ.

    A finished run takes the place of one that failed. If both are finished and differ, the one that is there stays.
    Answers and weights go with their records. Answers that do not give their record's accuracies are left out, and the
    command exits with 1.
    """
    from attn_tutorial.ledger.merge import merge

    merged = merge(sources, into)
    click.echo(
        f"{into}: {len(merged.added)} records added, {len(merged.replaced)} replaced because they were not done, "
        f"{len(merged.extended)} extended by tests, {len(merged.there)} were there; answers of {len(merged.answered)} "
        "runs copied"
    )
    for path, cause in merged.answers_refused.items():
        click.echo(f"{path} was left out: {cause}", err=True)
    for path, cause in merged.refused.items():
        click.echo(f"{path} was left out: {cause}", err=True)
    for run_id, difference in merged.kept.items():
        click.echo(f"run {run_id}: the record in {into} stays; it and the other are {difference}", err=True)
    if merged.kept or merged.refused or merged.answers_refused:
        sys.exit(1)


def _export_answers(
    name: str, preset: str, seeds: int | None, root: Path, images: str | None, results: Path, out: Path
) -> None:
    from attn_tutorial.ledger import Ledger
    from attn_tutorial.ledger.answers_table import write_answers

    planned, source = _plan(name, preset, seeds, root, images)
    ledger = Ledger(results)
    written = write_answers(ledger, planned, out)
    click.echo(f"{out}: {written.rows:,} rows of {written.runs} runs; {source}; preset {preset}")
    if written.without:
        click.echo(
            f"{written.without} finished runs have no answers that can be used, and are not in the table", err=True
        )


def _frame(
    name: str, preset: str, seeds: int | None, root: Path, images: str | None, results: Path
) -> "tuple[pd.DataFrame, str]":
    """Return what a ledger contains of a study on the images at hand, and what these images are."""
    from attn_tutorial.ledger import Ledger

    planned, source = _plan(name, preset, seeds, root, images)
    ledger = Ledger(results)
    frame = ledger.frame(planned)
    _say_unusable(ledger, planned)
    if frame.empty:
        raise click.ClickException(
            f"no run of study {name!r} at preset {preset!r} on these images is in {results}. Run it first."
        )
    return frame, source


def _say_unusable(ledger: "Ledger", planned: "list[PlannedRun]") -> None:
    """Name files that are left out besides a plan's own records: damaged ones, and records of another version."""
    unusable = ledger.unusable(besides=planned)
    for name, cause in list(unusable.items())[:_MOST_NAMED]:
        click.echo(f"{ledger.folder / name} is left out: {cause}", err=True)
    if (more := len(unusable) - _MOST_NAMED) > 0:
        click.echo(f"and {more} more files in {ledger.folder} are left out", err=True)


def _plan(name: str, preset: str, seeds: int | None, root: Path, images: str | None) -> "tuple[list[PlannedRun], str]":
    """Return the runs of a study on the images at hand, and what these images are."""
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
