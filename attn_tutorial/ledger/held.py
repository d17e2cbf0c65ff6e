"""What a ledger contains of a study, apart by preset, images and backbone."""

from dataclasses import dataclass, replace

from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.spec import Images
from attn_tutorial.study.presets import preset_names
from attn_tutorial.study.study import PlannedRun, Study


@dataclass(frozen=True)
class Held:
    """What a ledger contains of a study at one preset, on one image set, in one backbone."""

    preset: str
    images: Images
    backbone: str
    runs: list[PlannedRun]


def held_in(study: Study, ledger: Ledger) -> list[Held]:
    """List the recorded runs of a study, apart by preset, images and backbone, because such runs are never pooled.

    The runs have the ids of their records. Seeds before the study's first one are left out, although records of other
    studies may have them.
    """
    records = list(ledger)
    kinds = {(record.preset, record.data.fingerprint): record.data for record in records}
    seeds = sorted({record.spec.seed for record in records if record.spec.seed >= study.first_seed})
    held = []
    for (preset, _), images in kinds.items():
        if preset not in preset_names():
            continue
        by_backbone: dict[str, list[PlannedRun]] = {}
        for run in study.plan_seeds(preset, images, seeds):
            if ledger.get(run):
                recorded = replace(run, run_id=ledger.record_id(run))
                by_backbone.setdefault(run.spec.backbone.label(), []).append(recorded)
        held += [Held(preset, images, backbone, runs) for backbone, runs in by_backbone.items()]
    return held
