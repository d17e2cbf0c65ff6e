"""The full test of a trained network: its accuracy, whether it looks at the target, and what its gates do."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from attn_tutorial.clutter import Clutter
from attn_tutorial.datasets import ImageSet
from attn_tutorial.evaluation.accuracy import accuracy_by_severity
from attn_tutorial.evaluation.canvases import RECALIBRATION_CANVASES, Groups, clutter_of_test, groups_of
from attn_tutorial.evaluation.lesions import harms, mean_gates
from attn_tutorial.evaluation.localisation import localise
from attn_tutorial.evaluation.maps import attention_blocks
from attn_tutorial.spec import RunSpec
from attn_tutorial.training.model import train_clutter

Rows = list[dict[str, Any]]


def evaluate(
    model: nn.Module, spec: RunSpec, test: ImageSet, train: ImageSet, should_stop: Callable[[], bool] = lambda: False
) -> dict[str, Rows]:
    """Run every test that a spec asks for.

    Args:
        model: the trained network, on the images' device; it is put into evaluation mode.
        spec: the run, which says what is tested.
        test: the test images.
        train: the training images, for BatchNorm statistics and mean gates.
        should_stop: asked between batches; if it returns True, `InterruptedError` is raised.

    Returns:
        Rows by the field of `ledger.record.Record` that contains them: `accuracy` (see `accuracy_by_severity`),
        `localisation` (see `localise`) and `lesions` (see `harms`).

    """
    accuracy = accuracy_by_severity(model, spec, test, train, should_stop)
    return {"accuracy": accuracy, **look(model, spec, test, train, should_stop)}


@torch.no_grad()
def look(
    model: nn.Module, spec: RunSpec, test: ImageSet, train: ImageSet, should_stop: Callable[[], bool] = lambda: False
) -> dict[str, Rows]:
    """Test localisation and lesions only; arguments and rows are the same as for `evaluate`.

    The clutter is the first composition that the spec tests, at those severities that `evaluation.look` also names.
    Mean gates and BatchNorm statistics come from as many training canvases as there are test images, and at most 1,000.
    Without a tile there is nothing to measure, and both lists are empty.
    """
    wanted = spec.evaluation.look
    found: dict[str, Rows] = {"localisation": [], "lesions": []}
    if wanted is None or spec.clutter.tile == "removed":
        return found
    model.eval()
    if spec.evaluation.images is not None:
        test = test.take(spec.evaluation.images)
    composition = spec.evaluation.types[0]
    count = min(wanted.images, len(test))

    def training(clutter: Clutter) -> Groups:
        return groups_of(train, min(count, RECALIBRATION_CANVASES), clutter, should_stop, spec.oracle)

    lesions = wanted.lesions and bool(attention_blocks(model))
    mean = mean_gates(model, training(train_clutter(spec))) if lesions else {}
    for severity in sorted(set(wanted.severities) & set(spec.evaluation.severities)):
        clutter = clutter_of_test(spec, composition, severity)
        groups = groups_of(test, count, clutter, should_stop, spec.oracle)
        about = {"types": composition, "severity": severity}
        if wanted.localisation:
            found["localisation"] += [about | row for row in localise(model, groups)]
        if lesions:
            found["lesions"] += [about | row for row in harms(model, mean, groups, training(clutter))]
    return found
