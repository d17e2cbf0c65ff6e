import math

import numpy as np
import pytest
import torch

from attn_tutorial.evaluation import scores


def test_a_confident_and_correct_network():
    label = torch.arange(10).repeat(3)
    logits = 100.0 * torch.nn.functional.one_hot(label, 10)
    assert scores(logits, label) == {
        "accuracy": 1.0,
        "per_class": [1.0] * 10,
        "ece": 0.0,
        "nll": 0.0,
        "brier": 0.0,
    }


def test_a_network_that_knows_nothing():
    label = torch.arange(10).repeat(3)
    found = scores(torch.zeros(30, 10), label)
    assert found["accuracy"] == 0.1
    assert found["per_class"] == [1.0] + [0.0] * 9  # a tie goes to the first class
    assert found["nll"] == pytest.approx(math.log(10), abs=1e-6)
    assert found["brier"] == pytest.approx(0.9**2 + 9 * 0.1**2, abs=1e-6)
    assert found["ece"] == pytest.approx(0.0, abs=1e-6)  # 10 % confident and 10 % correct


def test_overconfidence_is_the_gap_between_confidence_and_accuracy():
    # 80 % confident, with two classes, and correct in half of the cases.
    logits = torch.tensor([[math.log(0.8), math.log(0.2)]]).repeat(40, 1)
    label = torch.tensor([0, 1]).repeat(20)
    found = scores(logits, label)
    assert found["ece"] == pytest.approx(0.3, abs=1e-5)
    assert found["brier"] == pytest.approx((2 * 0.2**2 + 2 * 0.8**2) / 2, abs=1e-5)


def test_against_the_definitions():
    generator = torch.Generator().manual_seed(0)
    logits, label = torch.randn(500, 10, generator=generator), torch.randint(10, (500,), generator=generator)
    probability = logits.double().softmax(1).numpy()
    confidence, right = probability.max(1), probability.argmax(1) == label.numpy()
    bins = np.minimum((confidence * 15).astype(int), 14)
    ece = sum(abs((confidence - right)[bins == i].sum()) for i in range(15)) / 500
    found = scores(logits, label)
    assert found["ece"] == pytest.approx(ece, abs=1e-5)
    assert found["nll"] == pytest.approx(-np.log(probability[np.arange(500), label.numpy()]).mean(), abs=1e-5)
    assert found["brier"] == pytest.approx(((probability - np.eye(10)[label.numpy()]) ** 2).sum(1).mean(), abs=1e-5)
    assert found["per_class"] == pytest.approx([right[label.numpy() == i].mean() for i in range(10)], abs=1e-6)


def test_scores_are_those_of_torchmetrics():
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(500, 10, generator=generator)
    label = torch.where(torch.rand(500, generator=generator) < 0.5, logits.argmax(1), torch.arange(500) % 9)
    found = scores(logits, label)
    ece = multiclass_calibration_error(logits.softmax(1), label, 10, 15, "l1")
    assert found["ece"] == pytest.approx(float(ece), abs=2e-6)
    assert found["per_class"] == pytest.approx(
        multiclass_accuracy(logits, label, 10, average="none").tolist(), abs=2e-6
    )
