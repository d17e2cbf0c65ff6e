"""What a ledger holds of a study, apart by preset, images and backbone."""

from dataclasses import dataclass

from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.spec import Images
from attn_tutorial.study.study import PlannedRun, Study, preset_names


@dataclass(frozen=True)
class Held:
    """What a ledger holds of a study at one preset, on one image set, in one backbone."""

    preset: str
    images: Images
    backbone: str
    runs: list[PlannedRun]


def held_in(study: Study, ledger: Ledger) -> list[Held]:
    """List what a ledger holds of a study, apart by preset, images and backbone: such are never pooled."""
    records = {record.run_id: record for record in ledger}
    kinds = {(record.preset, record.data.fingerprint): record.data for record in records.values()}
    seeds = sorted({record.spec.seed for record in records.values()})
    held = []
    for (preset, _), images in kinds.items():
        if preset not in preset_names():
            continue
        by_backbone: dict[str, list[PlannedRun]] = {}
        for run in study.plan_seeds(preset, images, seeds):
            if run.run_id in records:
                by_backbone.setdefault(run.spec.backbone.label(), []).append(run)
        held += [Held(preset, images, backbone, runs) for backbone, runs in by_backbone.items()]
    return held
