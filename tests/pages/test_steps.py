import pytest
import torch

from attn_tutorial.pages import check_steps

RIGHT = {"means": torch.tensor([[3.0, 1.0]]), "hidden": torch.tensor([[2.0]]), "gates": torch.tensor([[0.75, 0.25]])}


@pytest.fixture
def verdict(capsys):
    def verdict(**changed):
        check_steps({**RIGHT, **changed}, RIGHT)
        return capsys.readouterr().out.splitlines()

    return verdict


def test_all_right(verdict):
    assert verdict(gates=torch.tensor([[0.750001, 0.25]], dtype=torch.float64)) == [
        "means: right",
        "hidden: right",
        "gates: right",
        "All steps are right.",
    ]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (torch.tensor([3.0, 1.0]), "its shape must be (1, 2), but is (2,)"),
        (torch.tensor([[12.0, 4.0]]), "each number is 4 times what it should be"),
        (torch.tensor([[1.0, 3.0]]), "its shape is right, but its numbers differ by up to 2"),
        (torch.tensor([[0.0, 0.0]]), "its shape is right, but its numbers differ by up to 3"),
        (torch.tensor([[3.0, torch.nan]]), "it contains values that are infinite or not a number"),
        ([3.0, 1.0], "it must be a tensor, but is of type list"),
        (None, "there is no result of that name"),
    ],
    ids=["shape", "factor", "order", "zero", "nan", "type", "missing"],
)
def test_the_first_wrong_step_is_reported_with_its_reason(given, reason, verdict):
    assert verdict(means=given, gates=torch.zeros(1, 2)) == [
        f"means: wrong, because {reason}",
        "hidden: right",
        "gates: not judged, since it follows from a wrong step",
        "Fix 'means' first, then check again.",
    ]


def test_a_name_that_is_not_a_step_is_reported(verdict):
    assert "'gate' is not a step. The steps are means, hidden, gates." in verdict(gate=RIGHT["gates"])
