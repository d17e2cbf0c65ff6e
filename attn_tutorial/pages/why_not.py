"""What the study measured about the reasons why an attention block does not help, one sentence for each number."""

import math

import pandas as pd
from IPython.display import Markdown, display

from attn_tutorial.analysis.explanations import explain
from attn_tutorial.analysis.outcomes import areas, distraction_costs
from attn_tutorial.analysis.power import seeds_needed
from attn_tutorial.analysis.statistics import LEAST_SEEDS, paired_differences
from attn_tutorial.figures.tables import interval_text, main_types
from attn_tutorial.ledger import Ledger
from attn_tutorial.pages.answer import Results
from attn_tutorial.pages.pilot import change_sentences, contrast_sentences, pilot_frame

_START = "What does a start at one half cost?"
_LENGTH = "Or only a short training?"
_EFFECT = 0.5  # points: a gain that people report and hope for
_OCCLUSION = "fragments"


def show_measured_reason(reason: str, results: Results | str, ledger: Ledger) -> None:
    """Display what was measured about one reason.

    Args:
        reason: "start", "length", "seeds" or "occlusion".
        results: of the study of backgrounds, see `read_results`; a text while it has none.
        ledger: contains the pilot's records, which are used as long as the study has none.

    """
    lines = measured_reasons(results, ledger)[reason]
    display(Markdown("\n".join(f"- {line}" for line in lines) or "Nothing is measured yet."))


def measured_reasons(results: Results | str, ledger: Ledger) -> dict[str, list[str]]:
    """Return sentences about each reason, see `show_measured_reason`."""
    pilot = pilot_frame(ledger)
    found: dict[str, list[str]] = {"start": [], "length": [], "seeds": [], "occlusion": []}
    if not pilot.empty:
        found |= _of_the_pilot(pilot)
    if not isinstance(results, str):
        found |= {reason: lines for reason, lines in _of_the_study(results).items() if lines}
    return found


def _of_the_study(results: Results) -> dict[str, list[str]]:
    table = explain(results.protocol, results.frame)
    first = results.findings[0]
    return {
        "start": _reductions(results, table[table["question"] == _START]),
        "length": _reductions(results, table[table["question"] == _LENGTH]),
        "seeds": _about_seeds(first.sd, first.seeds, "what unseen backgrounds cost"),
        "occlusion": _hides_or_distracts(results),
    }


def _of_the_pilot(frame: pd.DataFrame) -> dict[str, list[str]]:
    changes = {"Three times the samples": (("cbam, 3×", "baseline, 3×"), ("cbam", "baseline"))}
    outcomes = areas(frame, main_types(frame))
    pairs = paired_differences(outcomes[~outcomes["variant"].str.contains("3×|SGD")])
    return {
        "start": [
            f"Pilot, mean accuracy in points: {each}"
            for each in contrast_sentences(frame, [("cbam, identity", "cbam"), ("se, identity", "se")])
        ],
        "length": [f"Pilot, mean accuracy in points: {each}" for each in change_sentences(frame, changes)],
        "seeds": _about_seeds(float(pairs["sd"].median()), int(pairs["seeds"].max()), "mean accuracy in the pilot"),
    }


def _reductions(results: Results, table: pd.DataFrame) -> list[str]:
    label = results.study.label
    return [
        f"{label(row['variant'])}, against {label(row['reference'])}: the loss to unseen backgrounds is "
        f"{interval_text(row['estimate'], row['low'], row['high'])} points smaller, and accuracy there "
        f"{row['accuracy']:+.2f} points ({row['seeds']} seeds)."
        for row in table.to_dict("records")
    ]


def _about_seeds(sd: float, seeds: int, what: str) -> list[str]:
    if math.isnan(sd) or not sd > 0:
        return []
    needed = max(LEAST_SEEDS, seeds_needed(_EFFECT, sd, blocks=1))
    return [
        f"The difference between two networks of one seed varies from seed to seed: its standard deviation is {sd:.2f} "
        f"points of {what} ({seeds} seeds).",
        f"So a single pair of runs shows a difference of {2 * sd:.1f} points or more in one of twenty cases by luck "
        f"alone. To find a true difference of {_EFFECT:g} points with a chance of 80 %, both networks need {needed} "
        "seeds.",
    ]


def _hides_or_distracts(results: Results) -> list[str]:
    protocol, frame = results.protocol, results.counted
    if _OCCLUSION not in set(frame["types"]):
        return []
    mean = {
        name: distraction_costs(frame, types).groupby("variant")["value"].mean()
        for name, types in (("unseen", protocol.outcome), ("occlusion", [_OCCLUSION]))
    }
    blocks = [name for name in protocol.primary if name in mean["unseen"]]
    lines = [
        f"The plain network loses {mean['unseen'][protocol.baseline]:.1f} points to unseen backgrounds and "
        f"{mean['occlusion'][protocol.baseline]:.1f} points to `{_OCCLUSION}`, which hide the target."
    ]
    for name in blocks:
        less = {kind: costs[protocol.baseline] - costs[name] for kind, costs in mean.items()}
        lines.append(
            f"{results.study.label(name)} loses {less['unseen']:.1f} points less to unseen backgrounds, and "
            f"{less['occlusion']:.1f} points less to `{_OCCLUSION}` (exploratory)."
        )
    return lines
