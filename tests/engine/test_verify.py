"""Check published records: the rule on records that were made for it, and real networks that are trained again."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from attn_tutorial.datasets import load_images
from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.engine.comparison import Spread
from attn_tutorial.engine.execute import execute
from attn_tutorial.engine.images import prepare_images
from attn_tutorial.engine.options import RunOptions
from attn_tutorial.engine.setting import Setting
from attn_tutorial.engine.verify import Verification, compare, draw_runs, verify
from attn_tutorial.evaluation import evaluate
from attn_tutorial.ledger import Ledger
from attn_tutorial.ledger.answers import Answers
from attn_tutorial.ledger.record import Accuracy, Record, circumstances
from attn_tutorial.ledger.weights import load_network
from attn_tutorial.spec import SpecError
from attn_tutorial.study import PlannedRun
from attn_tutorial.training import weights_sha256

IMAGES = 8000


def answers_of(right: int, seed: int = 0, conditions=tuple(("test", "noise", each) for each in range(4))) -> Answers:
    """Answers of which so many are right in each condition; the others are wrong by one class."""
    labels = (np.arange(IMAGES) % 10).astype(np.uint8)
    rng = np.random.default_rng(seed)
    predicted = {}
    for condition in conditions:
        wrong = rng.permutation(IMAGES)[right:]
        predicted[condition] = labels.copy()
        predicted[condition][wrong] = (labels[wrong] + 1) % 10
    return Answers({"test": labels}, predicted)


@pytest.fixture
def record_with(plan, setting, make_record):
    """Makes a record with the accuracies of some answers."""
    (run,) = plan(setting, baseline={})

    def make(answers: Answers, **changes) -> Record:
        rows = [
            Accuracy(
                split=split, types=types, severity=severity, accuracy=answers.accuracy((split, types, severity)),
                images=IMAGES,
            )
            for split, types, severity in answers.predicted
        ]  # fmt: skip
        known = {"accuracy": rows, "weights_sha256": "a" * 64, "precision": "float32", "memory_format": "contiguous"}
        return make_record(run, setting.images, **{**known, "compiled": False, **changes})

    return make


@pytest.fixture
def judged(record_with):
    """Judges a record and the same run trained again, from the answers of both."""

    def judge(before: Answers, now: Answers, mine=None, again=None, kept=True, **changes) -> Verification:
        record, other = record_with(before, **(mine or {})), record_with(now, **(again or {}))
        comparison = compare(record, other, before if kept else None, now)
        return Verification("baseline", record, other, comparison, **changes)

    return judge


ELSEWHERE = {"weights_sha256": "b" * 64, "processor": "another one"}
OTHER_BITS = {"weights_sha256": "b" * 64}


def test_in_equal_circumstances_only_equal_bits_pass(judged):
    before = answers_of(6000)
    assert judged(before, before).passed
    other = judged(before, before, again=OTHER_BITS)
    assert not other.passed
    assert "FAILED, other weights, although nothing differs that could change them. Mean accuracy" in other.sentence()
    results = judged(before, answers_of(6001))
    assert not results.passed
    assert "FAILED, the same weights, but other results, although nothing" in results.sentence()
    swapped = judged(before, answers_of(6000, seed=1))
    assert swapped.record.accuracy == swapped.again.accuracy
    assert not swapped.passed, "other answers that are as often right are other results"
    assert judged(before, before, again={"git_revision": "f" * 40}).passed


def test_elsewhere_a_network_fails_if_it_is_clearly_worse_or_better(judged):
    before = answers_of(6000)
    for right in (5920, 6080):
        found = judged(before, answers_of(right), again=ELSEWHERE)
        assert found.comparison.mean.points == pytest.approx((right - 6000) / 80)
        assert not found.passed
        assert "FAILED, other weights, and an accuracy that differs by more than 0.5 points" in found.sentence()
        assert judged(before, answers_of(right), again=ELSEWHERE, tolerance=1).passed
    near = judged(before, answers_of(5990), again=ELSEWHERE)
    assert near.passed
    assert "passed, other weights, and the same accuracy within 0.5 points" in near.sentence()
    unclear = judged(before, answers_of(5940, seed=1), again=ELSEWHERE)
    assert unclear.passed
    assert "too few images to tell whether the accuracy differs by more than 0.5 points" in unclear.sentence()


def test_elsewhere_equal_bits_pass_whatever_differs(judged):
    before = answers_of(6000)
    found = judged(before, before, again={"processor": "another one"})
    assert found.passed
    assert found.sentence().endswith("the same weights, sha256 aaaaaaaaaaaaaaaa…, and the same results")


def test_the_sentence_has_all_numbers(judged):
    found = judged(
        answers_of(6000), answers_of(5920), mine={"precision": "bfloat16"}, again=ELSEWHERE,
        spread=Spread(0.3, 4, 12), tolerance=0.75,
    )  # fmt: skip
    low, high = found.comparison.mean.low, found.comparison.mean.high
    assert -1.3 < low < -1 < high < -0.75
    numbers = (
        f"Mean accuracy 75.00 % in the ledger, now 74.00 % (4 conditions, 8,000 images); difference -1.00 points (95 % "
        f"interval {low:.2f} to {high:.2f}), paired by image; 99.00 % of the answers agree; spread between seeds 0.30 "
        "points (standard deviation of 12 runs of 4 variants); tolerance 0.75 points. Trained in float32, but the "
        "record was trained in bfloat16"
    )
    assert found.sentence().endswith(numbers)
    assert "What differs here: processor " in found.sentence()
    assert "precision bfloat16 and float32" in found.sentence()


def test_a_record_without_answers_is_compared_by_its_accuracies(judged):
    before = answers_of(6000)
    point = judged(before, answers_of(5920), again=ELSEWHERE, kept=False)
    assert point.passed, "a point is within the uncertainty of accuracies that are not paired"
    assert point.comparison.agreement is None
    assert "not paired; no answers by image are kept for both, so whole accuracies were compared" in point.sentence()
    assert "the largest difference is -1.00 points (95 % interval " in point.sentence()
    assert ") on noise at severity 0 (test); spread between seeds unknown, because no variant" in point.sentence()
    assert not judged(before, answers_of(5700), again=ELSEWHERE, kept=False).passed
    assert not judged(before, answers_of(6300), again=ELSEWHERE, kept=False).passed
    assert not judged(before, before, again=OTHER_BITS, kept=False).passed
    assert judged(before, before, kept=False).passed


def test_answers_that_lack_a_condition_do_not_hide_its_accuracy(judged):
    before, now = answers_of(6000), answers_of(6000)
    lacking = [condition for condition in before.predicted if condition[2] < 3]
    now.predicted["test", "noise", 3][:] = 0
    record = judged(before, now, again=ELSEWHERE)
    comparison = compare(record.record, record.again, before.only(lacking), now)
    assert comparison.agreement is None
    assert comparison.beyond(0.5)


def test_another_ending_fails_whatever_differs(judged):
    before = answers_of(6000)
    ended = {"status": "diverged", "error": "the loss became nan", "weights_sha256": None, "processor": "another one"}
    found = judged(before, before, again=ended)
    assert not found.passed
    assert found.sentence().endswith("FAILED, done in the ledger, now diverged: the loss became nan")


def test_nothing_to_compare_fails(judged, record_with):
    before = answers_of(6000)
    other = answers_of(6000, conditions=[("test", "crowd", 3)])
    found = judged(before, other, again=ELSEWHERE)
    assert found.comparison is None
    assert not found.passed
    assert "FAILED, because the two were not tested on any common condition" in found.sentence()


def test_results_on_more_images_do_not_count_against_equal_bits(judged, record_with):
    before = answers_of(6000)
    found = judged(before, before)
    more = [row.model_copy(update={"images": 9000, "accuracy": 0.9}) for row in found.record.accuracy[:1]]
    extended = found.record.model_copy(update={"accuracy": more + found.record.accuracy[1:]})
    assert replace(found, record=extended).passed


@pytest.mark.parametrize("tolerance", [-0.1, 100.5, float("nan")])
def test_a_tolerance_is_a_number_of_points(setting, tolerance):
    with pytest.raises(SpecError, match="tolerance must be a number of points from 0 to 100, but got"):
        verify([], setting, tolerance=tolerance)


@dataclass(frozen=True)
class Trained:
    """A run that was really trained, on images that show small differences."""

    setting: Setting
    run: PlannedRun
    network: nn.Module
    test: ImageSet
    train: ImageSet

    def publish(self, folder: Path, network: nn.Module | None = None, **changes) -> Setting:
        """Write a ledger whose record is about a network, by default the trained one, with its answers."""
        ledger = Ledger(self.setting.results)
        record = ledger.get(self.run)
        answers = ledger.answers(record)
        if network is not None:
            rows, answers = self.tested(network)
            changes = {"accuracy": rows, "weights_sha256": weights_sha256(network), **changes}
        Ledger(folder).add(record.model_copy(update=changes), answers)
        return replace(self.setting, results=folder)

    def tested(self, network: nn.Module) -> tuple[list[Accuracy], Answers]:
        """Test a network as its run asks."""
        found = evaluate(network, self.run.spec, self.test, self.train)
        answers = Answers.of_test("test", self.test.labels.numpy(), found["answers"])
        return [Accuracy(split="test", **row) for row in found["accuracy"]], answers

    def verified(self, setting: Setting, **how) -> Verification:
        """Train the run again and judge the record."""
        (found,) = verify(draw_runs([self.run], setting.results), setting, [self.run], **how)
        return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    """A small network that is right about most images."""
    from PIL import Image

    from attn_tutorial.datasets.sources.cifar10 import CLASSES
    from attn_tutorial.spec import RunSpec

    folder = tmp_path_factory.mktemp("verify")
    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 200)):
        for label, name in enumerate(CLASSES):
            place = folder / "cifar" / split / name
            place.mkdir(parents=True)
            base = np.array([25 * label, 255 - 25 * label, (90 * label) % 256])
            for number in range(count):
                pixels = base + rng.normal(0, 40, 3) + rng.integers(-20, 21, (32, 32, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(place / f"{number:04d}.png")
    images, source = prepare_images(str(folder / "cifar"), folder)
    setting = Setting("headline", "smoke", images, folder, source, folder / "runs", RunOptions(device="cpu"))
    spec = RunSpec.parse(
        {
            "data": {"name": "cifar10"},
            "backbone": {"depth": 8, "width": 16, "stem": "whiten4"},
            "training": {"samples": 640, "batch_size": 32},
            "evaluation": {"types": ["noise"], "severities": [0, 2], "look": None},
        }
    )
    run = PlannedRun(spec.run_id(images.fingerprint), "baseline", spec)
    assert execute(run, setting, lambda progress: None, lambda: False) == "done"
    ledger = Ledger(setting.results)
    network = load_network(ledger, ledger.get(run))
    test, train = (load_images("cifar10", split, root=folder, source=source) for split in ("test", "train"))
    return Trained(setting, run, network, test, train)


def rounded(network: nn.Module) -> nn.Module:
    """Return a network whose weights have the digits of bfloat16."""
    network = copy.deepcopy(network)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(weight.bfloat16().float())
    return network


def damaged(trained: Trained, points: float) -> nn.Module:
    """Return a network with just so much noise on its weights that it is some points worse on the test images."""
    rows, _ = trained.tested(trained.network)
    before = np.mean([row.accuracy for row in rows])
    for scale in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6):
        network = copy.deepcopy(trained.network)
        noise = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(scale * weight.std(correction=0) * torch.randn(weight.shape, generator=noise))
        rows, _ = trained.tested(network)
        if 100 * (before - np.mean([row.accuracy for row in rows])) >= points:
            return network
    raise AssertionError("no noise makes the network worse")


def elsewhere(trained: Trained) -> dict[str, dict[str, str]]:
    return {"versions": {**circumstances(trained.setting.images, "cpu")["versions"], "torch": "1.0"}}


def test_a_real_network_comes_out_again_to_the_same_bits(trained, tmp_path):
    found = trained.verified(trained.publish(tmp_path))
    assert found.same
    assert found.comparison.agreement == 100
    assert (found.comparison.conditions, found.comparison.images) == (2, len(trained.test))


def test_a_record_of_a_network_that_differs_by_rounding_passes_elsewhere_and_fails_here(trained, tmp_path):
    network = rounded(trained.network)
    found = trained.verified(trained.publish(tmp_path / "elsewhere", network, **elsewhere(trained)))
    assert not found.same
    assert found.comparison.agreement > 90
    assert found.passed, found.sentence()
    assert "What differs here: torch 1.0 and " in found.sentence()
    here = trained.verified(trained.publish(tmp_path / "here", network))
    assert not here.passed
    assert "FAILED, other weights, although nothing differs" in here.sentence()


@pytest.mark.parametrize("kept", [True, False])
def test_a_record_of_a_network_that_is_worse_fails_everywhere(trained, tmp_path, kept):
    network = damaged(trained, points=4 if kept else 8)
    setting = trained.publish(tmp_path, network, **elsewhere(trained))
    if not kept:
        Ledger(tmp_path).answers_path(trained.run.run_id).unlink()
    found = trained.verified(setting)
    assert (found.comparison.agreement is not None) == kept
    assert not found.passed, found.sentence()
    assert "and an accuracy that differs by more than 0.5 points" in found.sentence()
    assert replace(found, tolerance=50).passed


def test_answers_that_do_not_give_the_records_accuracies_fail(trained, tmp_path):
    setting = trained.publish(tmp_path, **elsewhere(trained))
    ledger = Ledger(tmp_path)
    record = ledger.get(trained.run)
    embellished = [row.model_copy(update={"accuracy": row.accuracy + 0.01}) for row in record.accuracy]
    ledger.add(record.model_copy(update={"accuracy": embellished}))
    found = trained.verified(setting)
    assert not found.passed
    assert "FAILED, because the answers beside the record cannot be used: the answers must give" in found.sentence()


def test_a_run_is_trained_in_the_precision_of_this_machine(trained, tmp_path, monkeypatch):
    was = Ledger(trained.setting.results).get(trained.run).precision
    here = {"float32": "bfloat16", "bfloat16": "float32"}[was]
    monkeypatch.setattr("attn_tutorial.training.machine.native_precision", lambda device: here)
    found = trained.verified(trained.publish(tmp_path / "native"))
    assert found.again.precision == here
    assert not found.same_weights
    assert f"precision {was} and {here}" in found.differing
    assert found.sentence().endswith(f"Trained in {here}, but the record was trained in {was}")
    asked = trained.verified(trained.publish(tmp_path / "asked").with_options(precision=was))
    assert asked.again.precision == was
    assert asked.same_weights


def test_the_spread_is_that_of_the_seeds_in_the_ledger(trained, tmp_path):
    setting = trained.publish(tmp_path)
    ledger = Ledger(tmp_path)
    record, plan, means = ledger.get(trained.run), [trained.run], []
    for seed, change in ((1, 0.01), (2, -0.02)):
        spec = trained.run.spec.model_copy(update={"seed": seed})
        run = PlannedRun(spec.run_id(setting.images.fingerprint), "baseline", spec)
        rows = [row.model_copy(update={"accuracy": row.accuracy + change}) for row in record.accuracy]
        ledger.add(record.model_copy(update={"run_id": run.run_id, "spec": spec, "accuracy": rows}))
        plan.append(run)
        means.append(100 * np.mean([row.accuracy for row in rows]))
    means.append(100 * np.mean([row.accuracy for row in record.accuracy]))
    (found,) = verify(draw_runs([trained.run], tmp_path), setting, plan)
    assert found.passed
    assert found.spread == Spread(pytest.approx(np.std(means, ddof=1)), 1, 3)
