import numpy as np
import pytest

from attn_tutorial.ledger import Ledger, Record
from attn_tutorial.ledger.frames import lesion_frame, localisation_frame
from attn_tutorial.ledger.record import Accuracy, Lesion, Localisation
from attn_tutorial.spec import Images
from attn_tutorial.study import Study

IMAGES = Images(name="shapes", source="shapes", fingerprint="b" * 64, archive_sha256=None)
MAP = Localisation(
    slot="stage3.0.slot", map="spatial", mask="tile", types="fragments+noise", severity=3, images=90, height=6, width=6,
    enrichment=1.5, enrichment_elsewhere=1.2, pointing=0.7, pointing_elsewhere=0.5, auc=0.6, auc_elsewhere=0.55,
)  # fmt: skip
LESION = Lesion(
    lesion="mean", types="fragments+noise", severity=3, images=90, accuracy=0.5, recalibrated=0.51, harm=0.025,
    low=0.01, high=0.04,
)  # fmt: skip


@pytest.fixture
def named():
    run, other = Study.load("headline").plan("quick", IMAGES, seeds=1)[1:3]
    shared = {"study": "headline", "preset": "quick", "data": IMAGES, "versions": {}, "git_revision": None,
              "device": "cpu", "processor": "", "finished_at": ""}  # fmt: skip
    full = Record(
        run_id=run.run_id, variant="old name", spec=run.spec, status="done", localisation=[MAP, MAP],
        lesions=[LESION], **shared,
    )  # fmt: skip
    # A record of an earlier version, without such fields, and one that diverged.
    empty = Record(run_id=other.run_id, variant="cbam", spec=other.spec, status="done", **shared)
    diverged = full.model_copy(update={"status": "diverged"})
    return [("se", full), ("cbam", empty), ("bad", diverged)]


def test_the_localisation_frame_has_a_row_for_each_map(named):
    frame = localisation_frame(named)
    assert frame[["variant", "seed", "preset", "fingerprint", "backbone"]].drop_duplicates().to_numpy().tolist() == [
        ["se", 0, "quick", "b" * 64, "ResNet-8, width 32"]
    ]
    assert len(frame) == 2
    assert frame.iloc[0][list(Localisation.model_fields)].to_dict() == MAP.model_dump()


def test_the_lesion_frame_is_in_percent_and_points(named):
    [row] = lesion_frame(named).to_dict("records")
    shares = [row[name] for name in ("accuracy", "recalibrated", "harm", "low", "high")]
    assert np.allclose(shares, [50, 51, 2.5, 1, 4])
    assert (row["variant"], row["lesion"], row["severity"], row["images"]) == ("se", "mean", 3, 90)


def test_without_records_the_frames_are_empty_and_have_their_columns():
    assert localisation_frame([]).empty
    assert {"variant", "enrichment", "auc_elsewhere"} <= set(localisation_frame([]))
    assert {"variant", "harm"} <= set(lesion_frame([]))


def test_every_single_value_of_a_record_is_a_column_of_the_frame(tmp_path, runs, make_record):
    """So that a new field of `Record` or `Accuracy` needs no other change."""
    Ledger(tmp_path).add(make_record(runs[0]))
    columns = set(Ledger(tmp_path).frame().columns)
    apart = {"spec", "data", "curve", "accuracy", "localisation", "lesions", "resumed_at", "per_class"}
    apart |= {"versions", "versions_trained", "versions_tested"}
    assert set(Record.model_fields) | set(Accuracy.model_fields) <= columns | apart
    assert columns.isdisjoint({"spec", "curve", "versions"})
