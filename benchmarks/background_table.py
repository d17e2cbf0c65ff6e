"""Show how the tables of `surround` and `crowd` were chosen: accuracies on the validation split under candidates.

    python benchmarks/background_table.py --surround first --network baseline --seed 0 --data <CIFAR-10>

Trains one network in the primary geometry (24 px on 48) on severities 0 to 2 of `surround` and `noise`, under one
candidate for the table of `surround`. It is tested on that table, on `mosaic`, and on every candidate for the table of
`crowd`, which needs no training of its own. Only the baseline and the oracle gate are trained, and no test image is
used, so no choice reads a block's difference. The audit page shows the candidates, and marks the tables that
the layers now have.
"""

from pathlib import Path

import click
import pandas as pd
import torch

from attn_tutorial.cli.options import FILE
from attn_tutorial.clutter.layers import crowd, surround
from attn_tutorial.datasets import load_images
from attn_tutorial.engine.images import prepare_images
from attn_tutorial.evaluation import accuracy_by_severity
from attn_tutorial.spec import RunSpec
from attn_tutorial.training import build_network, fit
from attn_tutorial.training.machine import keep_memory

SURROUND = {
    "first": ((0, 0), (6, 12), (10, 14), (14, 16), (18, 18), (24, 20)),
    # The severities of training are those of "first"; the others are stronger.
    "second": ((0, 0), (6, 12), (10, 14), (17, 18), (22, 20), (24, 21)),
}
CROWD = {
    "first": ((0, 0), (3, 13), (5, 15), (8, 17), (12, 19), (18, 19)),
    "fewer": ((0, 0), (2, 12), (4, 14), (6, 16), (9, 18), (13, 19)),
    "more": ((0, 0), (4, 15), (7, 17), (11, 19), (16, 19), (24, 19)),
    "even": ((0, 0), (4, 15), (7, 17), (9, 18), (13, 19), (24, 19)),
}
NETWORKS = {"baseline": None, "oracle gate": "gate"}
_OUT = Path("data/tuning/background.csv")


@click.command(help=__doc__)
@click.option("--surround", "table", type=click.Choice(list(SURROUND)), default="first", show_default=True)
@click.option("--network", type=click.Choice(list(NETWORKS)), default="baseline", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--samples", default=100_000, show_default=True, help="Training images, counting repeats.")
@click.option("--images", default=5000, show_default=True, help="Validation images.")
@click.option("--data", default="auto", show_default=True)
@click.option("--weights", type=FILE, help="File that keeps the network, or has it.")
@click.option("--out", type=FILE, default=_OUT, show_default=True)
def main(
    table: str, network: str, seed: int, samples: int, images: int, data: str, weights: Path | None, out: Path
) -> None:
    keep_memory()
    torch.set_num_threads(1)
    prepared, source = prepare_images(data, Path("data"))
    train, val = (load_images(prepared.name, split, source=source, size=24) for split in ("train", "val"))
    spec = RunSpec.parse(
        {
            "data": {"name": prepared.name, "size": 24},
            "training": {"samples": samples},
            "clutter": {"types": ["surround", "noise"], "severities": [0, 1, 2], "canvas": 48},
            "oracle": NETWORKS[network],
            "seed": seed,
            "evaluation": {
                "split": "val",
                "images": images,
                "types": ["surround+noise", "surround", "mosaic", "crowd"],
                "recalibrated": [],
            },
        }
    )
    surround.LEVELS = SURROUND[table]
    if weights is not None and weights.exists():
        model = build_network(spec, len(train.classes))
        model.load_state_dict(torch.load(weights))
    else:
        model = fit(spec, train, on_progress=lambda point: click.echo(f"{point.step} of {point.steps}", err=True)).model
    if weights is not None:
        torch.save(model.state_dict(), weights)
    rows = []
    for name, levels in CROWD.items():
        crowd.LEVELS = levels
        types = ["crowd"] if rows else list(spec.evaluation.types)
        asked = spec.evaluation.model_copy(update={"types": tuple(types)})
        found = accuracy_by_severity(model, spec.model_copy(update={"evaluation": asked}), val, train)
        rows += [
            {
                "network": network,
                "seed": seed,
                "types": row["types"],
                "surround": table,
                "crowd": name if row["types"] == "crowd" else "",
                "levels": str(levels if row["types"] == "crowd" else SURROUND[table]),
                "severity": row["severity"],
                "accuracy": round(100 * row["accuracy"], 2),
                "images": row["images"],
                "samples": samples,
                "source": prepared.source,
                "fingerprint": prepared.fingerprint,
            }
            for row in found
        ]
    new = pd.DataFrame(rows)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.exists():
        earlier = pd.read_csv(out, keep_default_na=False)
        one = ["network", "seed", "surround", "samples", "fingerprint"]
        same = (earlier[one] == new[one].iloc[0]).all(axis="columns")
        new = pd.concat([earlier[~same], new])
    new.to_csv(out, index=False)
    shown = pd.DataFrame(rows)
    click.echo(f"{network}, seed {seed}, surround {table}")
    click.echo(shown.pivot(index=["types", "crowd"], columns="severity", values="accuracy").round(1).to_string())


if __name__ == "__main__":
    main()
