"""The supervised gate: which gates it teaches, towards what, and that nothing else changes."""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from attn_tutorial.backbones import resnet
from attn_tutorial.backbones.oracle import shares
from attn_tutorial.clutter import Clutter, to_input
from attn_tutorial.evaluation import attention_maps
from attn_tutorial.spec import RunSpec
from attn_tutorial.training import Execution, Stopped, fit, weights_sha256
from attn_tutorial.training.pace import seconds_per_image
from attn_tutorial.training.supervision import Supervision, recorded_gates

TAUGHT = [
    ("spatial", {}),
    ("spatial", {"at_start": "identity"}),
    ("se+spatial", {}),
    ("se+spatial", {"at_start": "identity", "arrangement": "parallel"}),
]


def make_spec(mask_loss, block="spatial", **changes):
    training = {"samples": 96, "batch_size": 16, "mask_loss": mask_loss, **changes.pop("training", {})}
    backbone = {"depth": 8, "width": 16, "stem": "whiten4"}
    return RunSpec.parse(
        {"data": {"name": "shapes"}, "training": training, "backbone": backbone, "block": block, **changes}
    )


def network(block="spatial", options=None, noise=0.3):
    """A network whose gates are far from even."""
    torch.manual_seed(0)
    model = resnet(8, 16, block=block, block_options=options)
    with torch.no_grad():
        for slot in model.slots().values():
            for parameter in slot.parameters():
                parameter.add_(noise * torch.randn_like(parameter))
    return model.train()


def images(count=4, side=24):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def stop_after(steps):
    left = iter(range(steps - 1))
    return lambda: next(left, None) is None


@pytest.mark.parametrize(("block", "options"), TAUGHT)
def test_the_gates_are_those_of_the_same_pass(block, options):
    plain, model = (network(block, options) for _ in range(2))
    expected = plain(images())
    with recorded_gates(model.slots()) as gates:
        logits = model(images())
    assert torch.equal(logits, expected)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in plain.state_dict().items()), (
        "BatchNorm counted one pass"
    )
    assert list(gates) == list(model.slots())
    # In training mode a second pass of the same canvases has the same BatchNorm statistics.
    _, seen = attention_maps(model, images())
    for slot, gate in gates.items():
        whole = 2 if options.get("at_start") == "identity" else 1
        torch.testing.assert_close(whole * gate, seen[slot].maps["spatial"])
        assert (gate >= 0).all()
        assert (gate <= 1).all()
        assert gate.requires_grad


def test_after_the_context_nothing_is_recorded_and_an_error_leaves_nothing_behind():
    model = network()
    with pytest.raises(RuntimeError, match="on purpose"), recorded_gates(model.slots()):
        raise RuntimeError("on purpose")
    with recorded_gates(model.slots()) as gates:
        model(images())
    before = dict(gates)
    model(images() + 1)
    assert all(gates[slot] is gate for slot, gate in before.items())
    assert not any("attention" in slot.__dict__ for slot in model.slots().values())


def test_a_block_without_a_spatial_gate_cannot_be_taught():
    model = network("se", {"reduction": 4})
    with pytest.raises(ValueError, match=r"stage1\.0\.slot, stage2\.0\.slot, stage3\.0\.slot applied none"):  # noqa: SIM117
        with recorded_gates(model.slots()):
            model(images())


def test_the_loss_of_known_gates():
    visible = torch.zeros(1, 4, 4, dtype=torch.bool)
    visible[0, :2, :3] = True  # cells of 2 × 2 pixels: all, half, none, none
    even = torch.full((1, 1, 2, 2), 0.5)
    assert Supervision(2.0, visible).loss({"a": even}) == pytest.approx(2 * math.log(2))
    right = torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])
    assert Supervision(1.0, visible).loss({"a": right}) == pytest.approx(math.log(2) / 4, abs=1e-5)
    fine = torch.full((1, 1, 4, 4), 0.25)
    expected = -(6 * math.log(0.25) + 10 * math.log(0.75)) / 16
    assert Supervision(1.0, visible).loss({"a": fine}) == pytest.approx(expected)
    both = Supervision(1.0, visible).loss({"a": even, "b": fine})
    assert both == pytest.approx((math.log(2) + expected) / 2), "the mean over slots"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gate_that_is_wrong_for_certain_has_a_finite_loss(dtype):
    gate = torch.tensor([0.0, 1.0], dtype=dtype).view(1, 1, 1, 2).requires_grad_()
    visible = torch.tensor([[[True, False]]])
    loss = Supervision(1.0, visible).loss({"a": gate})
    assert loss.dtype == torch.float32
    assert 10 < loss < 20
    loss.backward()
    assert torch.isfinite(gate.grad).all()


def test_the_loss_moves_what_the_gates_are_computed_from_and_nothing_after_them():
    model = network()
    with recorded_gates(model.slots()) as gates:
        model(images())
    Supervision(1.0, torch.rand(4, 24, 24) < 0.3).loss(gates).backward()
    moved = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()}
    after = {name for name, _ in model.named_parameters() if name.startswith(("head.", "stage3.0.shortcut."))}
    assert {name for name, _ in model.named_parameters()} - moved == after


@pytest.mark.parametrize(("block", "options"), TAUGHT)
def test_interrupted_or_not_the_bits_are_the_same(train, tmp_path, block, options):
    spec = make_spec(1.0, block, block_options=options)
    straight = fit(spec, train)
    with pytest.raises(Stopped):
        fit(spec, train, tmp_path, should_stop=stop_after(3))
    resumed = fit(spec, train, tmp_path)
    assert resumed.resumed_at == [3]
    assert weights_sha256(resumed.model) == weights_sha256(straight.model)


def test_its_weight_is_part_of_the_training(train):
    specs = [make_spec(weight) for weight in (0.0, 0.5, 1.0)]
    assert len({spec.run_id("f") for spec in specs}) == 3
    assert len({weights_sha256(fit(spec, train).model) for spec in specs}) == 3


@pytest.mark.parametrize("oracle", ["gate", "wrong_gate"])
def test_an_oracles_gates_can_be_taught_too(train, oracle):
    spec = make_spec(1.0, oracle=oracle)
    assert all(torch.isfinite(value).all() for value in fit(spec, train).model.state_dict().values())


def test_it_trains_in_bfloat16(train):
    trained = fit(make_spec(1.0), train, precision="bfloat16")
    assert trained.execution.precision == "bfloat16"
    assert trained.curve[-1]["loss"] < 5


def test_a_taught_network_is_never_compiled(train, monkeypatch):
    chosen = Execution("float32", "channels_last", threads=1, compiled=True)
    monkeypatch.setattr(Execution, "choose", lambda *about: chosen)
    monkeypatch.setattr(torch, "compile", None)
    trained = fit(make_spec(1.0), train)
    assert not trained.execution.compiled
    with pytest.raises(TypeError):
        fit(make_spec(0.0), train)


@pytest.mark.parametrize(("at_start", "samples"), [("half", 640), ("identity", 1920)])
def test_gates_learn_where_the_target_is(make_images, at_start, samples):
    """Gates that start as the identity need longer: only their norm's weight, which is 0, has a gradient at first."""
    images = make_images(200)
    images.images[:] = images.images // 8 + 200  # bright targets
    fresh = Clutter(("noise",), 0, seed=9).render(images, range(100))

    def lead(mask_loss):
        """How much larger the gates are on the target than off it, as a share of their largest value."""
        spec = make_spec(
            mask_loss,
            block_options={"at_start": at_start},
            clutter={"types": ["noise"], "severities": [0]},
            training={"samples": samples, "batch_size": 32},
        )
        model = fit(spec, images).model.eval()
        with torch.no_grad():
            _, seen = attention_maps(model, to_input(fresh.canvas))
        leads = []
        for each in seen.values():
            gate = each.maps["spatial"] / (2 if at_start == "identity" else 1)
            on = shares(fresh.visible_mask[:, None], gate.shape[2:])
            leads.append(gate[on == 1].mean() - gate[on == 0].mean())
        return float(sum(leads)) / len(leads)

    assert lead(1.0) > lead(0.0) + 0.2


def test_its_pace_can_be_measured():
    assert all(seconds > 0 for seconds in seconds_per_image(make_spec(1.0), "cpu", batch=4, steps=1))


def test_a_step_never_waits_for_the_device(no_copy_to_host):
    with FakeTensorMode(), torch.device("cuda"):
        model = resnet(8, 32, stem="whiten4", block="spatial").train()
        visible = torch.empty(16, 48, 48, dtype=torch.bool)
        with no_copy_to_host(), recorded_gates(model.slots()) as gates:
            model(torch.empty(16, 3, 48, 48))
            loss = Supervision(1.0, visible).loss(gates)
        assert loss.device.type == "cuda"
