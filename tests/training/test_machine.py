import pytest
import torch
from torch import nn

from attn_tutorial.engine.options import RunOptions
from attn_tutorial.errors import InputError
from attn_tutorial.spec import BackboneSpec, RunSpec, SpecError
from attn_tutorial.training import Execution, build_model, choose_device, fit, machine, weights_sha256
from attn_tutorial.training.loop import train_step
from attn_tutorial.training.optimisers import make_optimisers

CPU = torch.device("cpu")
SMALL = BackboneSpec(depth=8, width=16)


@pytest.fixture
def clock(monkeypatch):
    """Makes a step take as many seconds as `seconds` says for its memory format."""
    seconds, now = {}, [0.0]

    def step(model, x):
        name = "contiguous" if x.is_contiguous() else "channels_last"
        now[0] += seconds[name]
        return nn.Module.__call__(model, x)

    class Timed(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def __call__(self, x):
            return step(self.model, x)

    build = machine.resnet
    monkeypatch.setattr(machine, "resnet", lambda *words, **more: Timed(build(*words, **more)))
    monkeypatch.setattr(machine.time, "process_time", lambda: now[0])
    machine._faster_memory_format.cache_clear()
    yield seconds
    machine._faster_memory_format.cache_clear()


@pytest.mark.parametrize(
    ("contiguous", "channels_last", "chosen"),
    [(2.0, 1.0, "channels_last"), (1.0, 2.0, "contiguous"), (1.0, 1.05, "channels_last")],
)
def test_the_faster_memory_format_is_chosen_and_a_near_tie_is_not_left_to_luck(
    clock, contiguous, channels_last, chosen
):
    clock.update(contiguous=contiguous, channels_last=channels_last)
    assert Execution.choose(CPU, "float32", SMALL, 32).memory_format == chosen


def test_choosing_leaves_the_random_numbers_alone():
    machine._faster_memory_format.cache_clear()
    torch.manual_seed(0)
    Execution.choose(CPU, "auto", SMALL, 32)
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.rand(1) == after


@pytest.mark.parametrize(
    ("able", "precision"), [({"avx512_bf16": True}, "bfloat16"), ({"amx_bf16": True}, "bfloat16"), ({}, "float32")]
)
def test_bfloat16_only_where_the_processor_has_instructions_for_it(monkeypatch, able, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert machine.native_precision(CPU) == precision
    assert machine.native_precision(torch.device("mps")) == "float32"
    assert Execution.choose(CPU, "auto", SMALL, 32).precision == precision
    assert Execution.choose(CPU, "bfloat16", SMALL, 32).precision == "bfloat16"


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="precision must be one of auto, float32, bfloat16, but got 'half'"):
        Execution.choose(CPU, "half", SMALL, 32)
    with pytest.raises(InputError, match="device must be one of auto, cpu, cuda, mps, but got 'gpu'"):
        choose_device("gpu")


@pytest.mark.parametrize("visible", ["", "7", "-1"])
def test_a_gpu_that_is_not_visible_names_the_variable_that_can_hide_it(monkeypatch, visible):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(
        InputError, match=f"but got 'cuda'.* CUDA_VISIBLE_DEVICES is set to '{visible}', which can hide"
    ):
        choose_device("cuda")
    with pytest.raises(InputError, match=f"but got 'cuda:0'.* CUDA_VISIBLE_DEVICES, which is set to '{visible}'"):
        choose_device("cuda:0")
    with pytest.raises(SpecError, match=f"^device: .*but got 'cuda:0'.* CUDA_VISIBLE_DEVICES, .* set to '{visible}'"):
        RunOptions.parse({"device": "cuda:0"})
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError) as error:
        choose_device("mps")
    assert "CUDA" not in str(error.value)


def test_a_variable_that_is_not_set_is_not_blamed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(InputError, match=r"but got 'cuda'\. Choose one, or auto\.$"):
        choose_device("cuda")
    with pytest.raises(InputError, match=r"but got 'cuda:1'.* CUDA_VISIBLE_DEVICES, which is not set"):
        choose_device("cuda:1")


def make_spec(**changes):
    return RunSpec.parse(
        {
            "data": {"name": "shapes"},
            "training": {"samples": 64, "batch_size": 16},
            "backbone": SMALL.model_dump(),
            **changes,
        }
    )


@pytest.mark.parametrize("memory_format", ["channels_last", "contiguous"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_way_trains_the_same_network_but_for_rounding(train, monkeypatch, memory_format, precision):
    reference = fit(make_spec(), train, precision="float32")
    monkeypatch.setattr(machine, "_faster_memory_format", lambda *_: memory_format)
    trained = fit(make_spec(), train, precision=precision)
    assert (trained.execution.memory_format, trained.execution.precision) == (memory_format, precision)
    assert trained.model.stage1[0].conv1.weight.is_contiguous(memory_format=machine.torch_format(memory_format))
    assert {weight.dtype for weight in trained.model.parameters()} == {torch.float32}
    near = 1e-4 if precision == "float32" else 0.1
    assert trained.curve[-1]["loss"] == pytest.approx(reference.curve[-1]["loss"], rel=near)
    again = fit(make_spec(), train, precision=precision)
    assert weights_sha256(again.model) == weights_sha256(trained.model)


def test_a_compiled_step_is_the_eager_step(train):
    # On a GPU triton compiles the step; here a backend that needs no compiler does. The graph is the same.
    spec = make_spec(block="cbam")
    execution = Execution("float32", "channels_last", torch.get_num_threads(), compiled=True)
    x, label = torch.randn(16, 3, 48, 48), torch.arange(16) % 10
    losses = []
    for compiled in (False, True):
        model = execution.place(build_model(spec, train), CPU).train()
        optimisers = make_optimisers(model, spec.training)
        stepping = torch.compile(model, backend="aot_eager", fullgraph=True) if compiled else model
        losses.append([train_step(stepping, optimisers, x, label, 0.1, execution) for _ in range(3)])
    for eager, other in zip(*losses, strict=True):
        assert torch.allclose(eager, other, rtol=1e-4)
