"""Say and tabulate what the audit of the benchmark found, from its report, with accuracies in percent."""

from collections.abc import Mapping

import pandas as pd

from attn_tutorial.analysis.outcomes import BASELINE
from attn_tutorial.audit.promises import ALL_BACKGROUNDS, Cost, Detection
from attn_tutorial.audit.report import AuditReport
from attn_tutorial.clutter.layers import level_table
from attn_tutorial.clutter.names import OCCLUSION_TYPES, SEVERITIES
from attn_tutorial.figures.tables import interval_text

_NUMBERS = ("none", "one", "two", "three", "four", "five", "six")
_SHORT = {ALL_BACKGROUNDS: "all background types"}


def in_short(report: AuditReport) -> str:
    """Sum the report up in three sentences at most."""
    if not report.is_result:
        return "This report is a test of the machinery, not a result: it says nothing about the benchmark."
    broken, count = report.broken, len(report.promises)
    if broken:
        names = ", ".join(f"{number} ({promise.title})" for number, promise in broken.items())
        kept = _NUMBERS[count - len(broken)]
        sentences = [f"**Not kept: promise {names}**; the benchmark keeps {kept} of its {_NUMBERS[count]} promises."]
    else:
        sentences = [f"The benchmark keeps its {_NUMBERS[count]} promises."]
    costs = _by_variant(report)
    baseline, oracle = costs[BASELINE], costs["oracle gate"]
    if None not in (baseline.seen, baseline.unseen, oracle.seen_won_back, oracle.unseen_won_back):
        sentences.append(
            f"Backgrounds of the types that training showed cost the baseline {baseline.seen:.1f} points of accuracy, "
            f"and new ones {baseline.unseen:.1f}; a network that is told where the target is (the oracle gate) wins "
            f"back {oracle.seen_won_back:.0f} % and {oracle.unseen_won_back:.0f} % of that."
        )
    guesses = [row.accuracy for row in report.no_leak.guesses if row.variant == "tile_removed"]
    rates = [row.rate for row in report.no_leak.detections if row.judged]
    if report.no_leak.passed:
        sentences.append(
            f"Where the target was removed, chance explains what is found: a network names {_span(guesses)} of the "
            f"labels right, and two detectors find {_span(rates)} of the places."
        )
    return " ".join(sentences)


def verdicts(report: AuditReport) -> str:
    """Say whether each promise is kept, and what was measured, as a list in Markdown."""
    return "\n".join(
        f"{number}. **{promise.title}: {'passed' if promise.passed else 'FAILED'}.** {promise.measured}"
        for number, promise in enumerate(report.promises, 1)
    )


def verdict(report: AuditReport, number: int) -> str:
    """Say in Markdown what one promise, counted from 1, says, and whether it is kept."""
    promise = report.promises[number - 1]
    word = "Passed" if promise.passed else "FAILED"
    return f"**Promised.** {promise.promised}\n\n**{word}.** {promise.measured}"


def headroom_frame(report: AuditReport) -> pd.DataFrame:
    """Return the accuracies of the baseline and of both oracles as a frame for `figures.headroom`."""
    frame = pd.DataFrame([row.model_dump() for row in report.whole_target.curves])
    runs = frame["variant"].map(report.runs)
    return frame.assign(accuracy=100 * frame["accuracy"], run_id=runs, seed=0)


def cost_table(report: AuditReport) -> pd.DataFrame:
    """Tabulate promise 4: accuracy at severity 0 and shares won back in percent, and distraction costs in points.

    The last row is the oracle input, which is shown nothing but the target.
    """
    shown = report.whole_target.oracle_input
    rows = [
        *report.whole_target.costs,
        Cost(variant="oracle input", accuracy=shown, seen=0, unseen=0, seen_won_back=100, unseen_won_back=100),
    ]
    table = {
        row.variant: {
            "severity 0": _number(None if row.accuracy is None else 100 * row.accuracy),
            "seen cost": _number(row.seen),
            "seen, won back": _number(row.seen_won_back, ".0f"),
            "unseen cost": _number(row.unseen),
            "unseen, won back": _number(row.unseen_won_back, ".0f"),
        }
        for row in rows
    }
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("network")


def detector_table(report: AuditReport) -> pd.DataFrame:
    """Tabulate promise 1: by severity, how many targets each detector found, and by chance, in percent.

    A cell is "found [low, high], chance".
    """
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for row in sorted(report.no_leak.detections, key=lambda row: row.detector):
        text = f"{interval_text(100 * row.rate, 100 * row.low, 100 * row.high, '.1f')}, {100 * row.chance:.1f}"
        cells = rows.setdefault((row.detector, searched(row)), {"judged": "yes" if row.judged else "no"})
        cells[f"severity {row.severity}"] = text
    return pd.DataFrame(
        [{"detector": detector, "canvases": canvases, **cells} for (detector, canvases), cells in rows.items()]
    )


def contrast(report: AuditReport) -> str:
    """Say what the detectors find where there is something to find, which shows that they are able to."""
    rows = report.no_leak.detections
    removed = [
        f"the {detector} detector finds {_span(rates)}"
        for detector in dict.fromkeys(row.detector for row in rows)
        if (rates := [row.rate for row in rows if row.detector == detector and row.types in OCCLUSION_TYPES])
    ]
    sentences = [f"Where a target was removed from among fragments, {' and '.join(removed)}."] if removed else []
    if shown := [row.rate for row in rows if row.tile == "shown"]:
        sentences.append(f"Of targets that are shown, the border detector finds {_span(shown)}.")
    return " ".join(sentences)


def searched(row: Detection) -> str:
    """Return the name of the canvases that a detector searched."""
    types = _SHORT.get(row.types, row.types)
    return types if row.tile == "removed" else f"{types}, target shown"


def pixel_table(report: AuditReport) -> pd.DataFrame:
    """Tabulate promise 2: a row for each way of rendering, also for a way that was not run."""
    rows = {
        row.way: {
            "canvases": f"{row.canvases:,}",
            "pixels that differ": "not run" if row.pixels is None else f"{row.pixels:,}",
            "of the masks": "not run" if row.mask_pixels is None else f"{row.mask_pixels:,}",
        }
        for row in report.same_pixels.rows
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("rendered")


def fall_table(report: AuditReport) -> pd.DataFrame:
    """Tabulate promise 3: for each composition the cost of every step as "cost [low, high]", and of all, in points."""
    rows: dict[str, dict[str, str]] = {}
    accuracies: dict[str, dict[int, float]] = {}
    for row in report.even_fall.rows:
        accuracies.setdefault(row.types, {})[row.severity] = 100 * row.accuracy
        if row.change is not None and row.low is not None and row.high is not None:
            text = interval_text(-100 * row.change, -100 * row.high, -100 * row.low, "z.1f")
            rows.setdefault(row.types, {})[f"to {row.severity}"] = text
    for types, tested in accuracies.items():
        if set(tested) == set(SEVERITIES):
            cluttered = [tested[severity] for severity in SEVERITIES[1:]]
            rows[types]["distraction cost"] = f"{tested[0] - sum(cluttered) / len(cluttered):.1f}"
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("step")


def touched_table(report: AuditReport) -> pd.DataFrame:
    """Tabulate promise 4: how many pixels of targets each composition of background types changes."""
    rows = {
        _SHORT.get(row.types, row.types): {
            "canvases": f"{row.canvases:,}",
            "target pixels changed": f"{row.pixels:,}",
            "mask pixels wrong": f"{row.mask_pixels:,}",
        }
        for row in report.whole_target.rows
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("types")


def duplicate_table(report: AuditReport) -> pd.DataFrame:
    """Tabulate promise 5: near-duplicates by kind, between images that distractors come from and images of the test."""
    rows = [row.model_dump() for row in report.no_test_image.duplicates]
    return pd.DataFrame(rows, columns=["between", "kind", "pairs", "images"])


def source_table(report: AuditReport) -> pd.DataFrame:
    """Tabulate promise 5: how many images each layer shows on the canvases of a whole epoch."""
    rows = [
        {
            "canvases of": row.split,
            "layer": row.layer,
            "canvases": f"{row.canvases:,}",
            "images shown": f"{row.images:,}",
            "near-duplicates among them": f"{row.duplicates:,}",
            "near-duplicates not barred": f"{row.not_barred:,}",
        }
        for row in report.no_test_image.sources
    ]
    return pd.DataFrame(rows)


def severity_frame() -> pd.DataFrame:
    """Tabulate what each severity means for every clutter type, with a column for each severity."""
    columns = list(map(str, SEVERITIES))
    return pd.DataFrame.from_dict(level_table(), orient="index", columns=columns).rename_axis("severity")


def _by_variant(report: AuditReport) -> Mapping[str, Cost]:
    return {row.variant: row for row in report.whole_target.costs}


def _span(shares: list[float]) -> str:
    return f"{' to '.join(dict.fromkeys(f'{100 * end(shares):.1f}' for end in (min, max)))} %"


def _number(value: float | None, form: str = ".1f") -> str:
    return "–" if value is None else f"{value:z{form}}"
