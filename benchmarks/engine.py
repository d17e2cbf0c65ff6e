"""Measure what a study costs beside training and testing: its start, its workers, its ledger.

1. The engine's share of a study of 1-minute runs: everything but training and testing, from the start of the process to
   its end. It is the time of all workers (wall time × workers) less what the records say was spent in training and
   testing, and less the idle end of a worker that finds no run left while another is still at its last.
2. `study status` over 10,000 records, and planning a study of which 1,000 runs are missing.

Run by `make bench`, with `--workers 2` in about three minutes.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from attn_tutorial.engine.images import prepare_images
from attn_tutorial.ledger import Ledger
from attn_tutorial.study import Study

RECORDS, MISSING = 10_000, 1_000
MINUTE = 60.0
STUDY = """
import sys
from attn_tutorial.study import Study
from attn_tutorial.engine.start import start_study

samples, workers, results, root = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
study = Study.parse({
    "name": "engine", "title": "Engine", "question": "What does the engine cost?",
    "fixed": {"training": {"samples": samples}, "evaluation": {"images": 500, "look": None}},
    "variants": {"baseline": {}, "se": {"block": "se"}},
})
if __name__ == "__main__":  # its workers start by reading this file, too
    start_study(study, "quick", workers, "shapes", results, root=root, runner="processes", workers=workers)
"""


def run(samples: int, workers: int, results: Path, root: Path) -> float:
    """Wall time in seconds of a study of 2 × `workers` runs, in a process of its own."""
    script = results.with_suffix(".py")
    script.write_text(STUDY)
    words = [sys.executable, str(script), str(samples), str(workers), str(results), str(root)]
    began = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return time.perf_counter() - began


def overhead(workers: int, folder: Path, root: Path) -> Path:
    """Print the engine's share; returns the results folder."""
    run(2_000, workers, folder / "short", root)
    rate = min(record.samples_per_second for record in Ledger(folder / "short"))
    samples = round(MINUTE * rate)
    results = folder / "long"
    wall = run(samples, workers, results, root)
    records = list(Ledger(results))
    at_work = sum(record.training_seconds + record.evaluation_seconds for record in records)
    ends = sorted(path.stat().st_mtime for path in results.glob("*.json"))[-workers:]
    idle = sum(ends[-1] - end for end in ends)
    beside = wall * workers - at_work - idle
    click.echo(
        f"{len(records)} runs of {samples:,} samples on {workers} workers: {wall:.1f} s; training and testing took "
        f"{at_work / len(records):.1f} s a run, {at_work:.1f} s together; idle at the end {idle:.1f} s; "
        f"the engine took {beside:.1f} of {wall * workers:.1f} s: {beside / (wall * workers):.1%}"
    )
    return results


def ledger(results: Path, folder: Path, root: Path) -> None:
    """Print how long status and planning take; the records are copies of a real one under other seeds and blocks."""
    images, _ = prepare_images("shapes", root)
    study = Study.load("headline")
    seeds = RECORDS // len(study.variants)
    record = next(iter(Ledger(results)))
    many = Ledger(folder / "many")
    many.make_writable()
    for run in study.plan("quick", images, seeds):
        named = {"run_id": run.run_id, "variant": run.variant}
        copy = record.model_copy(update={**named, "spec": run.spec, "versions_trained": run.spec.versions()})
        (many.folder / f"{run.run_id}.json").write_text(copy.model_dump_json(indent=1))
    size = sum(path.stat().st_size for path in many.folder.glob("*.json")) / RECORDS
    words = f"study status headline --preset quick --data shapes --seeds {seeds} --results {many.folder} --root {root}"
    command = [sys.executable, "-c", "from attn_tutorial.cli import main; main()", *words.split()]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    click.echo(f"study status over {RECORDS:,} records of {size:,.0f} bytes: {time.perf_counter() - began:.1f} s")
    began = time.perf_counter()
    planned = study.plan("quick", images, MISSING // len(study.variants))
    empty = Ledger(folder / "none")
    missing = [run for run in planned if not empty.has_result(run)]
    click.echo(f"planning a study with {len(missing):,} missing runs: {time.perf_counter() - began:.2f} s")


@click.command()
@click.option("--workers", default=2, show_default=True, help="Processes, one a core.")
def main(workers: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "data"
        prepare_images("shapes", root)
        ledger(overhead(workers, folder, root), folder, root)


if __name__ == "__main__":
    main()
