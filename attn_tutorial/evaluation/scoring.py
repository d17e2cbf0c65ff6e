"""Scores of a network's predictions: accuracy, overall and by class, and calibration."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_BINS = 15
_DIGITS = 6


def scores(logits: Tensor, label: Tensor) -> dict[str, Any]:
    """Score the predictions for N images.

    Args:
        logits: float (N, K) for K classes.
        label: the true classes, int64 (N,).

    Returns:
        `accuracy` (0 to 1); `per_class`, the accuracy on the images of each class, K numbers; `ece`, the expected
        calibration error over 15 bins of equal width (Guo et al., "On calibration of modern neural networks", ICML
        2017, equation 3); `nll`, the mean negative log-likelihood in nats; `brier`, the mean squared distance between
        the probabilities and the one-hot label, summed over the classes, 0 to 2 (Brier, Monthly Weather Review 1950).

    """
    # Imported here, because it takes seconds in which a worker could train.
    from torchmetrics.functional import mean_squared_error
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

    classes = logits.shape[1]
    probability = logits.softmax(1)
    one_hot = functional.one_hot(label, classes).to(probability.dtype)
    per_class = multiclass_accuracy(probability, label, classes, average="none")
    numbers = {
        "ece": multiclass_calibration_error(probability, label, classes, _BINS, "l1"),
        "nll": functional.cross_entropy(logits, label),
        "brier": mean_squared_error(probability, one_hot) * classes,
    }
    return {
        "accuracy": int((logits.argmax(1) == label).sum()) / len(label),
        "per_class": [round(share, _DIGITS) for share in per_class.tolist()],
        **{name: round(float(torch.as_tensor(number)), _DIGITS) for name, number in numbers.items()},
    }


def rounded(number: Tensor | float) -> float:
    """Return a number rounded to six significant digits, as records contain it."""
    return float(f"{float(number):.{_DIGITS}g}")
