"""Try this package on a GPU: checks that pass or fail, the time of a training step, and then a study.

1. Checks (`pytest -m cuda`): the CPU's pixels, the precision of bfloat16, the same bits when a run is interrupted, and
   no step that waits for the GPU.
2. For each backbone: images per second of the whole step, and of the model alone on a fixed batch, which is the limit.
3. The study, into a results folder that can be copied home and merged.

Run by `make gpu`. Nothing is downloaded: without CIFAR-10 on disk the study uses the built-in shapes.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
# The import names of what the checks and the study need, with the names to install.
NEEDED = {
    "torch": "torch", "torchvision": "torchvision", "torchmetrics": "torchmetrics", "numpy": "numpy",
    "pandas": "pandas", "seaborn": "seaborn", "matplotlib": "matplotlib", "scipy": "scipy",
    "statsmodels": "statsmodels", "captum": "captum", "pyarrow": "pyarrow", "PIL": "pillow", "pydantic": "pydantic",
    "yaml": "pyyaml", "tqdm": "tqdm", "filelock": "filelock", "lazy_loader": "lazy_loader", "IPython": "ipython",
    "jaxtyping": "jaxtyping", "pytest": "pytest", "pytest_timeout": "pytest-timeout",
}  # fmt: skip
OLDEST_TORCH = (2, 9)
BACKBONES = {
    "ResNet-8, width 32": {"depth": 8, "width": 32, "stem": "whiten4"},
    "ResNet-20, width 16": {"depth": 20, "width": 16, "stem": "conv3"},
    "ResNet-56, width 16": {"depth": 56, "width": 16, "stem": "conv3"},
}
BLOCKS = (None, "se", "cbam", "non_local")


def missing_packages() -> list[str]:
    """Return the names of packages to install."""
    return [package for name, package in NEEDED.items() if find_spec(name) is None]


def check_packages() -> None:
    """Stop with one message if a package is missing."""
    if missing := missing_packages():
        raise click.UsageError(
            f"these packages are missing: {', '.join(missing)}. Install them with: pip install {' '.join(missing)}"
        )


def check_names(study: str, preset: str, images: str | None) -> None:
    """Stop with one message if the study of step 3 could not start: it would fail after all the other steps."""
    from attn_tutorial.datasets.names import DATASETS
    from attn_tutorial.errors import InputError
    from attn_tutorial.study import Study
    from attn_tutorial.study.presets import Preset

    try:
        Study.load(study)
        Preset.load(preset)
    except InputError as error:
        raise click.UsageError(str(error)) from None
    if images and images not in (*DATASETS, "auto") and not Path(images).expanduser().exists():
        raise click.UsageError(f"--data must be a folder or archive of CIFAR-10, but {images} does not exist.")


def check_machine() -> None:
    """Stop with one message if torch is too old, or finds no GPU."""
    import torch

    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < OLDEST_TORCH:
        wanted = ".".join(map(str, OLDEST_TORCH))
        raise click.UsageError(f"torch must be {wanted} or newer, but is {torch.__version__}. Install a newer one.")
    if not torch.cuda.is_available():
        raise click.UsageError(
            "torch must find an NVIDIA GPU, but finds none. Check nvidia-smi, CUDA_VISIBLE_DEVICES, and that torch was "
            "built for CUDA. Without a GPU, use: make study"
        )


def seconds_of_steps(step: Callable[[], object], wait: Callable[[], object], rounds: int, steps: int) -> float:
    """Return the median seconds of a step."""
    step()
    taken = []
    for _ in range(rounds):
        wait()
        began = time.perf_counter()
        for _ in range(steps):
            step()
        wait()
        taken.append((time.perf_counter() - began) / steps)
    return statistics.median(taken)


def step_times(device_name: str, rounds: int, steps: int, backbones: dict[str, dict[str, object]], batch: int) -> None:
    """Print for each backbone and block the images per second of a step, and the model-only limit."""
    import pandas as pd
    import torch

    from attn_tutorial.datasets import load_images
    from attn_tutorial.spec import RunSpec
    from attn_tutorial.training import Execution, build_model
    from attn_tutorial.training.loop import make_batches, step_input, train_step
    from attn_tutorial.training.optimisers import make_optimisers

    device = torch.device(device_name)
    images = load_images("shapes", "train", ROOT / "data", size=24).to(device)
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    rows = {}
    for name, backbone in backbones.items():
        for block in BLOCKS:
            recipe = {"samples": 100 * batch, "batch_size": batch}
            values = {"data": {"name": "shapes", "size": 24}, "training": recipe, "backbone": backbone, "block": block}
            spec = RunSpec.parse(values)
            way = Execution.choose(device, "auto", spec.backbone, spec.clutter.canvas)
            network = way.place(build_model(spec, images), device).train()
            model = torch.compile(network) if way.compiled else network
            optimisers, batches = make_optimisers(network, spec.training), make_batches(spec, images)
            fixed = step_input(spec, batches, 0)
            number = iter(range(10**9))

            def whole(spec=spec, model=model, optimisers=optimisers, batches=batches, way=way, number=number):
                x, label, taught = step_input(spec, batches, next(number))
                train_step(model, optimisers, x, label, spec.training.label_smoothing, way, taught)

            def alone(spec=spec, model=model, optimisers=optimisers, fixed=fixed, way=way):
                x, label, taught = fixed
                train_step(model, optimisers, x, label, spec.training.label_smoothing, way, taught)

            began = time.perf_counter()
            alone()
            wait()
            first = time.perf_counter() - began
            limit = seconds_of_steps(alone, wait, rounds, steps)
            step = seconds_of_steps(whole, wait, rounds, steps)
            rows[f"{name}, {block or 'no block'}"] = {
                "images/s": batch / step,
                "model only": batch / limit,
                "model only ÷ step": limit / step,
                "first step, s": first,
                "precision": way.precision,
                "compiled": way.compiled,
            }
    print(pd.DataFrame.from_dict(rows, orient="index").round({"images/s": 0, "model only": 0}).round(2).to_string())


@click.command(help=__doc__)
@click.option("--study", default="headline", show_default=True, help="The study of step 3.")
@click.option("--preset", default="quick", show_default=True, help="Its preset, such as full.")
@click.option("--data", "images", help="CIFAR-10: a folder or archive. By default the preset chooses.")
@click.option("--results", default="data/gpu-runs", show_default=True, help="Folder of the study's records.")
@click.option(
    "--rounds", type=click.IntRange(1), default=7, show_default=True, help="Rounds of the times; medians are printed."
)
@click.option(
    "--only", type=click.Choice(["checks", "times", "study"]), multiple=True, help="Only this part; may be repeated."
)
def main(study: str, preset: str, images: str | None, results: str, rounds: int, only: tuple[str, ...]) -> None:
    check_packages()
    check_names(study, preset, images)
    check_machine()
    import torch

    parts = only or ("checks", "times", "study")
    print(f"{torch.cuda.get_device_name()}; torch {torch.__version__}", flush=True)
    failed = False
    if "checks" in parts:
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "cuda", "tests/cuda"], cwd=ROOT, check=False)
        failed = done.returncode != 0
    if "times" in parts:
        step_times("cuda", rounds, 20, BACKBONES, 128)
    if "study" in parts:
        command = "import sys; from attn_tutorial.cli import main; sys.exit(main())"
        words = ["study", "run", study, "--preset", preset, "--device", "cuda", "--results", results]
        # The command runs in the repository's folder, so a path must not be about this one.
        place = Path(images or "").expanduser()
        words += ["--data", str(place.absolute()) if place.exists() else str(images)] if images else []
        done = subprocess.run([sys.executable, "-c", command, *words], cwd=ROOT, check=False)
        failed = failed or done.returncode != 0
        print(f"The records are in {results}. Copy the folder home, and join it with your others by:")
        print(f"  attn-tutorial study merge {results} --into data/runs")
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
