import pytest
import torch
from torch import nn

from attn_tutorial.evaluation import accuracy_by_severity
from attn_tutorial.spec import RunSpec


class ReadsTheBrightestPixel(nn.Module):
    """Knows the label from one pixel, which is part of the tile: right wherever that pixel shows."""

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


def test_known_answers(lit):
    rows = accuracy_by_severity(ReadsTheBrightestPixel(), make_spec(types=["fragments"]), lit)
    accuracy = [row["accuracy"] for row in rows]
    assert [row["severity"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert accuracy[0] == 1.0
    # It fails just where the fragments hide that pixel: about as often as the overlap cap says, 35 % at severity 5.
    assert 0.4 < accuracy[5] < 0.9
    assert accuracy[5] < accuracy[1]


def test_severity_0_is_one_thing_for_all_types_and_is_tested_once(lit):
    class Counting(ReadsTheBrightestPixel):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return super().forward(x)

    model = Counting()
    rows = accuracy_by_severity(model, make_spec(severities=[0, 1], images=30), lit)
    assert [(row["types"], row["severity"]) for row in rows] == [
        (types, severity) for types in ("fragments+noise", "fragments", "noise") for severity in (0, 1)
    ]
    assert {row["images"] for row in rows} == {30}
    assert model.calls == 1 + 3


def test_it_tests_in_evaluation_mode_and_leaves_no_gradient(lit):
    class Spy(ReadsTheBrightestPixel):
        def forward(self, x):
            assert not self.training
            assert not torch.is_grad_enabled()
            return super().forward(x)

    accuracy_by_severity(Spy().train(), make_spec(severities=[0]), lit)


def test_it_stops_when_asked(lit):
    with pytest.raises(InterruptedError):
        accuracy_by_severity(ReadsTheBrightestPixel(), make_spec(), lit, should_stop=lambda: True)
