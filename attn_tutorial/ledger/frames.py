"""Tidy frames of where networks look, from records; accuracies have theirs from `Ledger.frame`."""

from collections.abc import Iterable
from typing import Literal

import pandas as pd

from attn_tutorial.ledger.record import Lesion, Localisation, Record

_RUN = ["run_id", "preset", "fingerprint", "clutter_version", "backbone", "variant", "seed"]
_SHARES = ["accuracy", "recalibrated", "harm", "low", "high"]

Named = Iterable[tuple[str, Record]]
"""Records with the names that their variants have in a study."""


def localisation_frame(named: Named) -> pd.DataFrame:
    """Return a row for each run, severity, map and mask; records without such rows are left out.

    Columns: run_id, preset, fingerprint, clutter_version, backbone, variant, seed, and the fields of
    `record.Localisation`.
    """
    return _frame(named, "localisation", list(Localisation.model_fields))


def lesion_frame(named: Named) -> pd.DataFrame:
    """Return a row for each run, severity and lesion; records without such rows are left out.

    Columns: run_id, preset, fingerprint, clutter_version, backbone, variant, seed, and the fields of `record.Lesion`,
    with accuracies in percent and harms, and the ends of their intervals over the images, in points.
    """
    frame = _frame(named, "lesions", list(Lesion.model_fields))
    return frame.assign(**{name: 100 * frame[name].astype(float) for name in _SHARES})


def _frame(named: Named, field: Literal["localisation", "lesions"], columns: list[str]) -> pd.DataFrame:
    rows = [
        {
            "run_id": record.run_id,
            "preset": record.preset,
            "fingerprint": record.data.fingerprint,
            "clutter_version": record.clutter_version,
            "backbone": record.spec.backbone.label(),
            "variant": variant,
            "seed": record.spec.seed,
            **row.model_dump(),
        }
        for variant, record in named
        if record.status == "done"
        for row in getattr(record, field)
    ]
    return pd.DataFrame(rows, columns=[*_RUN, *columns])
