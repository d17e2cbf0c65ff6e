"""Networks and files that try to break the benchmark are refused in one message, or tested correctly."""

import io
import os
import pickle
import zipfile

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from attn_tutorial.benchmark import Reads, benchmark
from attn_tutorial.datasets import load_images
from attn_tutorial.errors import InputError


@pytest.fixture(scope="module")
def images():
    return load_images("shapes", "test", size=24).take(20)


class Changed(nn.Module):
    def __init__(self, change=lambda x, logits: logits):
        super().__init__()
        torch.manual_seed(1)
        self.last, self.change = nn.Linear(3, 10), change

    def forward(self, x):
        return self.change(x, self.last(x.float().mean((2, 3))))


def of_gradients(x, logits):
    with torch.enable_grad():
        pixels = x.float().requires_grad_()
        (found,) = torch.autograd.grad(pixels.square().sum(), pixels)
    return logits + 0 * found.mean()


@pytest.mark.parametrize(
    "change", [lambda x, logits: logits.half(), lambda x, logits: (x.zero_(), logits)[1], of_gradients]
)
def test_logits_of_another_type_changed_input_and_own_gradients_give_the_same_answers(images, change):
    (expected,), (given,) = (benchmark(Changed(*each), images, progress=False).answers for each in ((), (change,)))
    assert all(np.array_equal(given.predicted[cell], named) for cell, named in expected.predicted.items())


def test_what_a_network_keeps_can_still_be_trained_with(images):
    network = Changed(lambda x, logits: network.__dict__.setdefault("kept", torch.ones(10)) * logits)
    benchmark(network, images, progress=False)
    network(torch.zeros(1, 3, 4, 4)).sum().backward()
    assert network.last.weight.grad is not None


def test_integers_of_any_kind_are_logits(images):
    network = Changed(lambda x, logits: (1000 * logits.abs()).to(torch.uint16))
    assert len(benchmark(network, images, progress=False).answers) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, logits: logits > 0, r"dense logits of real numbers, but returned torch\.bool"),
        (lambda x, logits: logits.to(torch.complex64), "real numbers, but returned torch.complex64"),
        (lambda x, logits: logits.to_sparse(), "returned torch.float32, torch.sparse_coo"),
        (lambda x, logits: logits.to("meta"), "on meta"),
        (lambda x, logits: logits.sum(), r"shape \(8, 10\), but returned \(\)"),
        (lambda x, logits: torch.cat([logits, logits]), r"shape \(8, 10\), but returned \(16, 10\)"),
    ],
)
def test_what_are_no_logits_is_named(images, change, message):
    with pytest.raises(InputError, match=message):
        benchmark(Changed(change), images, progress=False)


def test_an_error_is_repeated_in_one_short_line(images):
    def stop(x, logits):
        raise ValueError("\x1b[31m" + "long " * 1000 + "\nsecond")

    with pytest.raises(InputError) as error:
        benchmark(Changed(stop), images, progress=False)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 700


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"device": "gpu"}, "device must be one of auto, cpu, cuda, mps, but got 'gpu'"),
        ({"device": "meta"}, "device must be one of"),
        ({"device": torch.device("meta")}, "device must be one of"),
        ({"device": "cuda:0"}, "Give cuda, and choose the GPU"),
        ({"device": None}, "`device` must be the name of a device"),
        ({"count": "10"}, "`count` must be a whole number of images, or None"),
        ({"count": True}, "`count` must be a whole number of images, or None"),
        ({"count": 0}, "a multiple of 10"),
        ({"canvas": 23}, "at least as large as the images"),
    ],
)
def test_values_that_cannot_be_used_are_named(images, about, message):
    with pytest.raises(InputError, match=message):
        benchmark(Changed(), images, progress=False, **about)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ([Changed(), Changed()], "a list of different networks"),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), "weights that can be moved to cpu and hashed"),
        (Changed().to("meta"), "weights that can be moved to cpu and hashed"),
        ("a\0b.pt", "must be a file that can be read"),
    ],
)
def test_networks_that_cannot_be_used_are_named(images, network, message):
    with pytest.raises(InputError, match=message):
        benchmark(network, images, progress=False)


@pytest.mark.parametrize("change", [{"mean": (float("nan"),) * 3}, {"std": (float("inf"),) * 3}])
def test_a_normalisation_is_finite(change):
    with pytest.raises(InputError, match="must be a finite number"):
        Reads.parse({"pixels": "float", **change})


class Code:
    """What a file that runs code when it is loaded contains."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def pickled(mark, by):
    content = io.BytesIO()
    (torch.save if by is torch else pickle.dump)(Code(mark), content)
    return content.getvalue()


@pytest.mark.parametrize(
    ("place", "reason"),
    [("sample_inputs/model.pt", ""), ("constants/opaque_obj_0", r"\(it contains Python objects or compiled code")],
)
def test_no_code_of_an_exported_file_runs(images, tmp_path, place, reason, capfd):
    good, evil, mark = tmp_path / "good.pt2", tmp_path / "evil.PT2", tmp_path / "ran"
    x = torch.zeros(2, 3, 48, 48, dtype=torch.uint8)
    free = torch.export.Dim.DYNAMIC
    torch.export.save(torch.export.export(Changed().eval(), (x,), dynamic_shapes=(({0: free}),)), good)
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(evil, "w") as new:
        for name in old.namelist():
            if name.endswith("model_constants_config.json") and "opaque" in place:
                config = (
                    b'{"config": {"c": {"path_name": "opaque_obj_0", "is_param": false, "use_pickle": true, '
                    b'"tensor_meta": null}}}'
                )
                new.writestr(name, config)
            elif not name.endswith(place):
                new.writestr(name, old.read(name))
        new.writestr(f"good/data/{place}", pickled(mark, torch if place.endswith(".pt") else pickle))
    capfd.readouterr()
    with pytest.raises(
        InputError,
        match=rf"torch\.export\.save wrote, but it cannot be loaded {reason}",
    ):
        benchmark(evil, images, progress=False)
    assert not mark.exists()
    assert "Traceback" not in capfd.readouterr().err
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_no_code_of_a_torchscript_file_runs(images, tmp_path):
    (tmp_path / "evil.pt").write_bytes(pickled(tmp_path / "ran", torch))
    with pytest.raises(InputError, match=r"torch\.jit\.save wrote"):
        benchmark(tmp_path / "evil.pt", images, progress=False)
    assert not (tmp_path / "ran").exists()


def by_hand(path, batch="batch", apart=False):
    weights = np.random.default_rng(0).normal(0, 3, (3, 10)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["canvas"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("canvas", TensorProto.FLOAT, [batch, 3, 48, 48])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 10])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, path, save_as_external_data=apart, location=f"{path.name}.data", size_threshold=0)
    return path


def test_the_hash_of_an_onnx_file_is_about_its_weights_in_another_file(images, tmp_path):
    path = by_hand(tmp_path / "apart.onnx", apart=True)
    (before,) = benchmark(path, images, "0-1", progress=False).sha256
    weights = tmp_path / "apart.onnx.data"
    weights.write_bytes(np.ones(30, np.float32).tobytes())
    (after,) = benchmark(path, images, "0-1", progress=False).sha256
    assert before != after


@pytest.mark.parametrize("batch", [0, 100_000])
def test_an_onnx_file_of_an_unusable_batch_size_is_refused(images, tmp_path, batch):
    with pytest.raises(InputError, match=f"batches of 1 to 1,000 canvases, but takes {batch:,}"):
        benchmark(by_hand(tmp_path / "batch.onnx", batch), images, "0-1", progress=False)
