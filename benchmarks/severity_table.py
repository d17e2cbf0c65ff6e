"""Show how the severity table was chosen: the baseline's accuracy on the validation split under candidate tables.

    python benchmarks/severity_table.py first chosen --data <CIFAR-10> --out data/tuning/severity.csv

Every candidate trains the baseline at the preset `quick` (about five minutes of one core each) on its own
severities 0 to 3 and is tested on images of the validation split. No test image is used.
"""

from pathlib import Path

import click
import pandas as pd
import torch

from attn_tutorial.cli.options import FILE
from attn_tutorial.clutter.layers import fragments, strokes, veil
from attn_tutorial.datasets import load_images
from attn_tutorial.engine.images import prepare_images
from attn_tutorial.evaluation import accuracy_by_severity
from attn_tutorial.spec import RunSpec
from attn_tutorial.training import fit
from attn_tutorial.training.machine import keep_memory

CANDIDATES = {
    # The first guess, from a pilot on an earlier table.
    "first": {
        fragments: ((0, 0, 0), (4, 8, 5), (8, 10, 10), (12, 12, 15), (16, 14, 25), (24, 14, 35)),
        strokes: ((0, 0), (2, 1), (4, 1), (6, 2), (8, 2), (10, 2)),
        veil: (0, 20, 41, 61, 82, 102),
    },
    "chosen": {layer: layer.LEVELS for layer in (fragments, strokes, veil)},
}


@click.command()
@click.argument("candidates", nargs=-1, required=True, type=click.Choice(list(CANDIDATES)))
@click.option("--data", default="auto", show_default=True)
@click.option("--out", type=FILE, default=Path("data/tuning/severity.csv"), show_default=True)
def main(candidates: tuple[str, ...], data: str, out: Path) -> None:
    keep_memory()
    torch.set_num_threads(1)
    prepared, source = prepare_images(data, Path("data"))
    train, val = (load_images(prepared.name, split, source=source) for split in ("train", "val"))
    spec = RunSpec.parse(
        {
            "data": {"name": prepared.name},
            "training": {"samples": 80_000},
            "evaluation": {"split": "val", "images": 3000},
        }
    )
    for candidate in candidates:
        for layer, levels in CANDIDATES[candidate].items():
            layer.LEVELS = levels
        fragments.fragment_levels.cache_clear()
        trained = fit(spec, train, on_progress=lambda p, name=candidate: click.echo(f"{name}: {p.step} of {p.steps}"))
        rows = pd.DataFrame(accuracy_by_severity(trained.model, spec, val, train)).assign(
            candidate=candidate, data=prepared.source, fingerprint=prepared.fingerprint
        )
        out.parent.mkdir(parents=True, exist_ok=True)
        earlier = pd.read_csv(out) if out.exists() else rows[:0]
        kept = earlier[(earlier["candidate"] != candidate) | (earlier["fingerprint"] != prepared.fingerprint)]
        pd.concat([kept, rows] if len(kept) else [rows]).to_csv(out, index=False)
        click.echo(rows.pivot(index="types", columns="severity", values="accuracy").mul(100).round(1).to_string())


if __name__ == "__main__":
    main()
