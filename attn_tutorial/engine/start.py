"""Start a study from its names: what the command line and the notebook have in common."""

from pathlib import Path

from attn_tutorial.engine.images import prepare_images
from attn_tutorial.engine.runner import check_runner, run_study
from attn_tutorial.engine.setting import Setting
from attn_tutorial.spec import SpecError
from attn_tutorial.study.study import PlannedRun, Study
from attn_tutorial.training.names import check_device, check_precision


def start_study(
    study: str | Study,
    preset: str,
    seeds: int | None = None,
    data: str | None = None,
    results: str | Path = "data/runs",
    *,
    root: str | Path = "data",
    runner: str = "auto",
    workers: int | None = None,
    device: str = "auto",
    checkpoint_every: float = 60.0,
    precision: str = "auto",
    address: str = "",
    gpus_per_run: float | None = None,
) -> tuple[list[PlannedRun], dict[str, int]]:
    """Train what the ledger lacks of a study; return its plan, and how many of its runs are in which state.

    Args:
        study: its name, or a study of your own.
        preset: at what scale.
        seeds: a count; the preset's by default.
        data: see `prepare_images`.
        results: folder of the records.
        root: the folder that holds `raw/`.
        runner: see `run_study`.
        workers: see `run_study`.
        device: "auto", "cpu", "cuda" or "mps".
        checkpoint_every: seconds.
        precision: of training: "float32", "bfloat16", or "auto": bfloat16 where the device computes in it.
        address: see `run_study`.
        gpus_per_run: see `run_study`.

    """
    if not checkpoint_every >= 0:  # so that "not a number" is refused, too
        raise SpecError(
            f"checkpoint_every {checkpoint_every!r} was given; allowed is a number of seconds of at least 0"
        )
    if not str(results):
        raise SpecError("results was given as an empty text; name a folder, or leave it out for data/runs")
    # Before the images, so that a misspelt name does not wait for them.
    check_runner(runner, workers, address, gpus_per_run)
    check_device(device)
    check_precision(precision)
    loaded = study if isinstance(study, Study) else Study.load(study)
    images, source = prepare_images(data, Path(root), preset)
    runs = loaded.plan(preset, images, seeds)
    setting = Setting(
        loaded.name, preset, images, Path(root), source, Path(results), device, checkpoint_every, precision
    )
    return runs, run_study(runs, setting, runner, workers, address, gpus_per_run)
