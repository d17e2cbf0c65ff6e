"""Bootstrap a study over its seeds and its test images at once, from the answers of every network for every image.

Intervals over seeds say what other seeds would give on these test images. This bootstrap says what other seeds and
other test images would give. It is a check beside the study's model, never the basis of a verdict.

Source: Owen, "The pigeonhole bootstrap", Annals of Applied Statistics, 2007.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attn_tutorial.analysis.contrasts import PRIMARY_FAMILY
from attn_tutorial.analysis.outcomes import BASELINE, UNSEEN_COST
from attn_tutorial.clutter.names import SEVERITIES
from attn_tutorial.errors import InputError
from attn_tutorial.ledger.answers import NOT_TESTED, Answers
from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.study.study import PlannedRun

ImageCosts = NDArray[np.float64]
"""Float64 (images,): what clutter costs one network on each image, points; NaN where an image was not tested."""
_AT_ONCE = 100  # resamples; 8,000 images then take 6 MB


def read_image_costs(
    ledger: Ledger, runs: Iterable[PlannedRun], types: Sequence[str] = UNSEEN_COST
) -> dict[tuple[str, int], ImageCosts]:
    """Return `image_costs` of the finished runs of a plan by variant and seed.

    Runs without usable answers, or without answers in one of the conditions, are left out.

    Args:
        ledger: contains the records and answers.
        runs: a plan.
        types: the compositions of clutter types of the outcome.

    """
    found = {}
    for run in runs:
        for variant, record in ledger.named([run]):
            split = run.spec.evaluation.split
            wanted = {(split, name, severity) for name in types for severity in SEVERITIES}
            answers = ledger.answers(record) if record.status == "done" else None
            if answers is not None and wanted <= answers.predicted.keys():
                found[variant, record.spec.seed] = image_costs(answers, types, split)
    return found


def image_costs(answers: Answers, types: Sequence[str] = UNSEEN_COST, split: str = "test") -> ImageCosts:
    """Return what clutter costs one network on each image of a split; their mean is its distraction cost.

    An image's cost is 100 × (right at severity 0 minus the share of severities 1 to 5 at which it is right), as a mean
    over the compositions.

    Args:
        answers: of one network, with all of these conditions.
        types: the compositions of clutter types.
        split: "test" or "val".

    Returns:
        points, float64 (images,); NaN for images that were not tested in all of these conditions.

    Raises:
        InputError: there are no answers for one of the conditions.

    """
    labels = answers.labels.get(split)
    total = np.zeros(0 if labels is None else len(labels))
    for name in types:
        for severity in SEVERITIES:
            predicted = answers.predicted.get((split, name, severity))
            if labels is None or predicted is None:
                raise InputError(
                    f"Answers must contain {name} at severities 0 to 5 on the split {split}, but severity {severity} "
                    "is not there. Choose a run that was tested on all of them."
                )
            weight = 1.0 if severity == 0 else -1.0 / (len(SEVERITIES) - 1)
            total += np.where(predicted == NOT_TESTED, np.nan, weight * (predicted == labels))
    return 100 * total / len(types)


def bootstrap_reductions(
    costs: Mapping[tuple[str, int], ImageCosts],
    family: Sequence[str] = PRIMARY_FAMILY,
    reference: str = BASELINE,
    seeds: Iterable[int] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return by how much variants reduce a reference's cost, with bootstrap intervals over seeds and images.

    Each resample draws seeds and images independently, with replacement; all variants and the reference get the same
    draws. The interval ends at the 2.5th and the 97.5th percentile.

    Two errors of such an interval have opposite signs. Ten seeds are few: where the spread over seeds dominates, it
    covers the truth in 93 % of simulated studies. The chance part of a single answer counts in both draws: where that
    dominates, it covers 98 %.

    Args:
        costs: `image_costs` by variant and seed, for the same images in the same order.
        family: the variants to compare.
        reference: the variant that they are compared with.
        seeds: only these seeds; by default all for which the family and the reference have costs.
        resamples: number of resamples.
        seed: of the generator; the same seed gives the same intervals.

    Returns:
        a row for each variant of the family; no row if no seed is complete. Columns: `variant`, `estimate`, `low`,
        `high` (points; the ends are NaN with one seed), `seeds`, `images` (numbers).

    Raises:
        InputError: the arrays have different lengths or different tested images, none was tested, or `resamples` is not
            at least 1.

    """
    if resamples < 1:
        raise InputError(f"`resamples` must be at least 1, but got {resamples}. Give a larger number, such as 2000.")
    variants = [reference, *family]
    complete = set.intersection(*({at for name, at in costs if name == variant} for variant in variants))
    used = sorted(complete if seeds is None else complete & set(seeds))
    if not used:
        return pd.DataFrame(columns=["variant", "estimate", "low", "high", "seeds", "images"])
    arrays = [[costs[variant, at] for at in used] for variant in variants]
    tested = _tested(arrays)
    values = np.array(arrays)[:, :, tested]
    reductions = values[0] - values[1:]  # (blocks, seeds, images)
    drawn = _resample(reductions, resamples, np.random.default_rng(seed))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0) if len(used) > 1 else (np.nan, np.nan)
    return pd.DataFrame(
        {
            "variant": list(family),
            "estimate": reductions.mean(axis=(1, 2)),
            "low": low,
            "high": high,
            "seeds": len(used),
            "images": int(tested.sum()),
        }
    )


def _resample(values: NDArray[np.float64], resamples: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return the mean of each block (columns) in each resample (rows) of (blocks, seeds, images)."""
    _, seeds, images = values.shape
    means = []
    for start in range(0, resamples, _AT_ONCE):
        count = min(_AT_ONCE, resamples - start)
        of_seeds, of_images = (_times_drawn(size, count, generator) for size in (seeds, images))
        by_seed = values @ of_images.T  # (blocks, seeds, resamples)
        means.append(np.einsum("bsr,rs->rb", by_seed, of_seeds) / (seeds * images))
    return np.concatenate(means)


def _times_drawn(size: int, count: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return how often each of `size` things is in each of `count` samples of that size with replacement."""
    drawn = generator.integers(size, size=(count, size)) + size * np.arange(count)[:, None]
    return np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size).astype(float)


def _tested(arrays: Sequence[Sequence[ImageCosts]]) -> NDArray[np.bool_]:
    """Return which images were tested, which must be the same for all networks."""
    flat = [array for of_variant in arrays for array in of_variant]
    tested = ~np.isnan(flat[0])
    if any(len(array) != len(tested) or not np.array_equal(~np.isnan(array), tested) for array in flat):
        raise InputError(
            "All networks must be tested on the same images, but these were tested on different ones. Choose runs of "
            "one study at one preset on one image set."
        )
    if not tested.any():
        raise InputError("Costs must be about at least one tested image, but none was tested. Choose other runs.")
    return tested
