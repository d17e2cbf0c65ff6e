from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from attn_tutorial.backbones import resnet
from attn_tutorial.blocks import BLOCK_NAMES
from attn_tutorial.clutter import Clutter
from attn_tutorial.evaluation import accuracy_by_severity, recalibrated
from attn_tutorial.evaluation.accuracy import shows_own_class
from attn_tutorial.spec import EvaluationSpec, RunSpec


class ReadsTheBrightestPixel(nn.Module):
    """Reads the label from one pixel of the tile, so it is right wherever that pixel is visible."""

    def forward(self, x):
        level = ((x.amax((1, 2, 3)) + 2) * 63.75).round().long()
        return nn.functional.one_hot((level - 200).clamp(0, 9), 10).float()


def make_spec(**evaluation):
    return RunSpec.parse({"data": {"name": "shapes"}, "training": {"samples": 128}, "evaluation": evaluation})


@pytest.fixture
def lit(test_images, bank):
    """Dark images with one pixel in the middle of each whose brightness is 200 + the label; dark fragments."""
    bank.images[:] = 0
    test_images.images[:] = 0
    test_images.images[:, 16, 16] = (200 + test_images.labels).to(torch.uint8)[:, None]
    return test_images


def test_known_answers(lit, train):
    rows = accuracy_by_severity(ReadsTheBrightestPixel(), make_spec(types=["fragments"]), lit, train)
    accuracy = [row["accuracy"] for row in rows]
    assert [row["severity"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert accuracy[0] == 1.0
    # It fails only where the fragments hide that pixel: about as often as the overlap cap allows, 35 % at severity 5.
    assert 0.4 < accuracy[5] < 0.9
    assert accuracy[5] < accuracy[1]


def test_severity_0_is_the_same_for_all_types_and_is_tested_once(lit, train):
    class Counting(ReadsTheBrightestPixel):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return super().forward(x)

    model = Counting()
    rows = accuracy_by_severity(model, make_spec(severities=[0, 1], images=30, recalibrated=[]), lit, train)
    assert [(row["types"], row["severity"]) for row in rows] == [
        (types, severity) for types in EvaluationSpec().types for severity in (0, 1)
    ]
    assert {row["images"] for row in rows} == {30}
    assert model.calls == 1 + 6


def test_severity_0_is_recalibrated_once_and_reported_where_it_was_asked_for(lit, train):
    class Counting(ReadsTheBrightestPixel):
        calls: ClassVar = [0]  # shared by copies

        def forward(self, x):
            self.calls[0] += len(x)
            return super().forward(x)

    spec = make_spec(severities=[0], images=30, types=["noise", "veil", "mosaic"], recalibrated=["noise", "mosaic"])
    rows = accuracy_by_severity(Counting(), spec, lit, train)
    assert [row["recalibrated"] for row in rows] == [1.0, None, 1.0]
    assert Counting.calls == [30 + 2 * 30]


def test_it_tests_in_evaluation_mode_and_leaves_no_gradient(lit, train):
    class Spy(ReadsTheBrightestPixel):
        def forward(self, x):
            assert not self.training
            assert not torch.is_grad_enabled()
            return super().forward(x)

    accuracy_by_severity(Spy().train(), make_spec(severities=[0]), lit, train)


def test_it_stops_when_asked(lit, train):
    with pytest.raises(InterruptedError):
        accuracy_by_severity(ReadsTheBrightestPixel(), make_spec(), lit, train, should_stop=lambda: True)


class SeesBrightness(nn.Module):
    """Predicts the class from the mean brightness, through a BatchNorm layer that learned another range."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3, affine=False)

    def forward(self, x):
        return nn.functional.one_hot((self.norm(x).mean((1, 2, 3)) > 0).long(), 10).float()


def test_recalibration_takes_the_statistics_of_the_training_images_in_the_tests_clutter(train, test_images):
    network = SeesBrightness().eval()
    network.norm.running_mean += 100  # as if training had seen far brighter canvases: all look dark
    test_images.images[:] = 128
    test_images.images[test_images.labels == 1] = 255
    chosen = test_images.labels < 2
    for name in ("images", "labels", "index"):
        object.__setattr__(test_images, name, getattr(test_images, name)[chosen])
    test_images.images[:] = torch.where((test_images.labels == 1)[:, None, None, None], 255, 0).to(torch.uint8)
    spec = make_spec(types=["noise"], severities=[0], recalibrated=["noise"])
    [row] = accuracy_by_severity(network, spec, test_images, train)
    assert row["accuracy"] == 0.5, "all are classified as class 0"
    assert row["recalibrated"] == 1.0
    assert float(network.norm.running_mean.mean()) == 100, "the network itself stays as it is"


def test_statistics_are_plain_averages_over_the_batches():
    network = nn.Sequential(nn.BatchNorm2d(3)).train()
    batches = [torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(i)) * (i + 1) for i in range(3)]
    again = recalibrated(network, batches)
    expected = torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0)
    assert torch.allclose(again[0].running_mean, expected, atol=1e-6)
    assert not again.training
    assert network.training
    assert float(network[0].running_mean.abs().max()) == 0


@pytest.mark.parametrize("block", [None, *BLOCK_NAMES])
@torch.no_grad()
def test_statistics_are_those_of_torchs_update_bn(block):
    torch.manual_seed(0)
    network = resnet(8, 32, stem="whiten4", block=block).eval()
    batches = [torch.randn(8, 3, 48, 48) for _ in range(3)]
    found = recalibrated(network, batches).state_dict()
    update_bn(batches, network)
    assert all(torch.equal(found[name], expected) for name, expected in network.state_dict().items())


def test_dropout_stays_off_while_statistics_are_collected():
    network = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(3))
    batches = [torch.randn(8, 3, 4, 4)]
    expected = recalibrated(network[1:], batches)[0]
    assert torch.equal(recalibrated(network, batches)[1].running_var, expected.running_var)


def test_only_whole_images_of_the_targets_class_count_as_its_own_class():
    batch = SimpleNamespace(
        label=torch.tensor([3, 3, 3, 7]),
        # A piece, two smaller whole images (-1: this severity draws none), and an occluding piece.
        fragment_layer=("surround", "crowd", "crowd", "fragments"),
        fragment_class=torch.tensor([[3, 1, 2, 3], [0, 1, 3, 0], [0, 3, -1, 0], [7, 3, -1, 7]]),
    )
    assert shows_own_class(batch).tolist() == [False, True, True, False]
    batch.fragment_layer = ("surround", "surround", "fragments", "fragments")
    assert not shows_own_class(batch).any()


class SaysClassThree(nn.Module):
    def forward(self, x):
        return torch.eye(10)[3].expand(len(x), 10)


def test_accuracy_beside_a_smaller_image_of_the_own_class_is_on_these_canvases_only(test_images, bank, train):
    spec = make_spec(types=["crowd", "surround"], severities=[0, 1, 5], recalibrated=[])
    rows = accuracy_by_severity(SaysClassThree(), spec, test_images, train)
    labels = dict(zip(bank.index.tolist(), bank.labels.tolist(), strict=True))
    for row in rows:
        if row["types"] == "surround" or row["severity"] == 0:
            assert "own_class" not in row
            assert "own_class_images" not in row
            continue
        batch = Clutter(("crowd",), row["severity"]).render(test_images, torch.arange(len(test_images)))
        own = [
            label in {labels[image] for image in images if image >= 0}
            for label, images in zip(batch.label.tolist(), batch.fragment_id.tolist(), strict=True)
        ]
        threes = [label == 3 for label, beside in zip(batch.label.tolist(), own, strict=True) if beside]
        assert row["own_class_images"] == sum(own) > 0
        assert row["own_class"] == pytest.approx(sum(threes) / sum(own))
        assert row["accuracy"] == pytest.approx(0.1)
