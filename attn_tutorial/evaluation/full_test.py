"""The full test of a trained network: its accuracy, whether it looks at the target, and what its gates do."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attn_tutorial.clutter import Clutter
from attn_tutorial.datasets import ImageSet
from attn_tutorial.evaluation.accuracy import Answers, batches_of, input_of, recalibrated_accuracy
from attn_tutorial.evaluation.canvases import RECALIBRATION_CANVASES, clutter_of_test, groups_of
from attn_tutorial.evaluation.lesions import Lesions
from attn_tutorial.evaluation.localisation import Localisation
from attn_tutorial.evaluation.maps import attention_blocks, intact_pass
from attn_tutorial.spec import RunSpec
from attn_tutorial.training.model import train_clutter

ShouldStop = Callable[[], bool]
Rows = list[dict[str, Any]]


@torch.no_grad()
def evaluate(
    model: nn.Module, spec: RunSpec, test: ImageSet, train: ImageSet, should_stop: ShouldStop = lambda: False
) -> dict[str, Any]:
    """Run every test that a spec asks for. Each canvas is rendered once, and passes the intact network once.

    At severity 0 every composition is the same weak background: it is tested once, and has a row for each composition.
    Lesions and localisation are measured on the first images of each class, on the same canvases as the accuracy. If
    the target was removed from the canvases, there is nothing to look at, and these two are empty.

    Args:
        model: the trained network, on the images' device; it is put into evaluation mode.
        spec: the run, which says what is tested.
        test: the test images; their distractors come from their own bank.
        train: the training images, for BatchNorm statistics and mean gates.
        should_stop: asked between batches; if it returns True, `InterruptedError` is raised.

    Returns:
        Rows by the field of `ledger.record.Record` that contains them: `accuracy` (`types`, `severity`, what
        `Answers.scores` returns, and `recalibrated`, the accuracy with BatchNorm statistics of this clutter, or None
        where it is not asked for), `localisation` (see `Localisation`) and `lesions` (see `lesions.Tested`). And
        `answers`: by composition and severity the class that the network named for each of the test images, uint8
        (N,), or `NOT_TESTED`.

    """
    full = _FullTest(model.eval(), spec, test, train, should_stop)
    found: dict[str, Any] = {"accuracy": [], "localisation": [], "lesions": [], "answers": {}}
    done: dict[tuple[str, int], dict[str, Any]] = {}
    for types in spec.evaluation.types:
        for severity in spec.evaluation.severities:
            cell = (types if severity else "", severity)
            if cell not in done:
                done[cell] = full.cell(types, severity)
            about = {"types": types, "severity": severity}
            recalibrated = done[cell]["recalibrated"] if types in spec.evaluation.recalibrated else None
            found["accuracy"].append({**about, **done[cell]["scores"], "recalibrated": recalibrated})
            found["answers"][types, severity] = done[cell]["answers"]
            if full.looks_at(types, severity):
                for field in ("localisation", "lesions"):
                    found[field] += [about | row for row in done[cell][field]]
    return found


def accuracy_by_severity(
    model: nn.Module, spec: RunSpec, test: ImageSet, train: ImageSet, should_stop: ShouldStop = lambda: False
) -> Rows:
    """Return the rows of accuracy only, without lesions and localisation; arguments are the same as for `evaluate`."""
    spec = spec.model_copy(update={"evaluation": spec.evaluation.model_copy(update={"look": None})})
    rows: Rows = evaluate(model, spec, test, train, should_stop)["accuracy"]
    return rows


class _FullTest:
    def __init__(self, model: nn.Module, spec: RunSpec, test: ImageSet, train: ImageSet, should_stop: ShouldStop):
        self._model, self._spec, self._test, self._train, self._should_stop = model, spec, test, train, should_stop
        self._wanted = spec.evaluation.look if spec.clutter.tile == "shown" else None
        self._lesions: Lesions | None = None
        if (
            self._wanted
            and self._wanted.lesions
            and attention_blocks(model)
            and any(spec.evaluation.looks_at(*cell) for cell in spec.evaluation.cells())
        ):
            canvases = min(self._wanted.images, RECALIBRATION_CANVASES)
            self._lesions = Lesions(model, groups_of(train, canvases, train_clutter(spec), should_stop, spec.oracle))

    def looks_at(self, types: str, severity: int) -> bool:
        """Return whether lesions and localisation are measured in a composition at a severity."""
        wanted = self._wanted
        return wanted is not None and severity in wanted.severities and types in self._spec.evaluation.looked_at()

    def cell(self, types: str, severity: int) -> dict[str, Any]:
        """Test a composition at a severity; at severity 0, where all are the same, for all of them."""
        spec, test = self._spec, self._test
        shared = [types] if severity else spec.evaluation.types
        clutter = clutter_of_test(spec, types, severity)
        answers = Answers(test)
        count = spec.evaluation.images_of(types, severity, len(test))
        positions = test.first(count) if count < len(test) else torch.arange(len(test), device=test.labels.device)
        looked = torch.empty(0, dtype=torch.int64, device=positions.device)
        found: dict[str, Any] = {"localisation": [], "lesions": []}
        if self._wanted and spec.evaluation.looks_at(types, severity):
            looked = self._look(count, clutter, answers, found)
        rest = positions[~torch.isin(positions, looked)]
        for part, batch in batches_of(test, rest, clutter, self._should_stop):
            answers.add(part, batch, self._model(input_of(batch, spec)))
        asked = any(each in spec.evaluation.recalibrated for each in shared)
        found["recalibrated"] = (
            recalibrated_accuracy(self._model, spec, test, self._train, positions, clutter) if asked else None
        )
        named: np.ndarray = answers.by_image()
        return {**found, "scores": answers.scores(), "answers": named}

    def _look(self, count: int, clutter: Clutter, answers: Answers, found: dict[str, Rows]) -> Tensor:
        """Measure lesions and localisation, and return the positions of their images."""
        wanted = self._wanted
        assert wanted is not None
        groups = groups_of(self._test, min(wanted.images, count), clutter, self._should_stop, self._spec.oracle)
        place = Localisation(self._model) if wanted.localisation else None
        harm = self._lesions.start() if self._lesions else None
        for group in groups:
            passed = intact_pass(self._model, group.input())
            answers.add(group.positions, group.batch, passed.logits)
            for measured in (place, harm):
                if measured is not None:
                    measured.add(group, passed)
        found["localisation"] = place.rows() if place else []
        found["lesions"] = harm.rows() if harm else []
        return groups.positions
