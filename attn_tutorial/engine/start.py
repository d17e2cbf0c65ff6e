"""Start a study from its names: what the command line and the notebooks have in common."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from attn_tutorial.engine.images import prepare_images
from attn_tutorial.engine.options import RunOptions
from attn_tutorial.engine.precision import runs_in_one_precision
from attn_tutorial.engine.runner import check_ray, run_study
from attn_tutorial.engine.setting import Setting
from attn_tutorial.paths import user_path
from attn_tutorial.spec import SpecError
from attn_tutorial.study.protocol import Protocol
from attn_tutorial.study.study import PlannedRun, Study


def start_study(
    study: str | Study,
    preset: str,
    seeds: int | None = None,
    data: str | None = None,
    results: str | Path = "data/runs",
    *,
    root: str | Path = "data",
    **options: Any,
) -> tuple[list[PlannedRun], dict[str, int]]:
    """Train what the ledger lacks of a study. Return its plan, and how many of its runs are in which state.

    Args:
        study: its name, or a study of your own.
        preset: at what scale.
        seeds: how many seeds, from the study's first one on; the preset's number by default.
        data: see `prepare_images`.
        results: folder of the records.
        root: the folder that contains `raw/`.
        options: fields of `RunOptions`, such as `runner="serial"`.

    """
    if not str(results):
        raise SpecError("results must be a folder, but got an empty text. Leave it out for data/runs.")
    results, root = user_path(results, "results"), user_path(root, "root")
    # Before the images, so that a misspelt name does not wait for them.
    chosen = RunOptions.parse(options)
    check_ray(chosen)
    loaded = study if isinstance(study, Study) else Study.load(study)
    images, source = prepare_images(data, root, preset)
    runs = loaded.plan(preset, images, seeds)
    setting = Setting(loaded.name, preset, images, root, source, results, chosen)
    protocol = None if loaded.protocol is None else Protocol.load(loaded.protocol)
    if protocol is None or not protocol.covers(preset, images.name):
        return runs, run_study(runs, setting)
    setting = replace(setting, protocol=protocol.sha256)
    kept = runs if chosen.mixed_precision else runs_in_one_precision(runs, setting)
    states = run_study(kept, setting)
    missing = states.get("missing", 0) + len(runs) - len(kept)
    return runs, {**states, "missing": missing} if missing else states
