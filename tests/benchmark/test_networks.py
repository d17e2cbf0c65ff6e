"""Networks of any origin are tested on the same canvases as the package's own, and unusable ones are named."""

import re

import numpy as np
import onnx
import pytest
import timm
import torch
import torchvision
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from attn_tutorial.backbones import resnet
from attn_tutorial.benchmark import Reads, benchmark
from attn_tutorial.benchmark.reads import IMAGENET, PACKAGE
from attn_tutorial.benchmark.testing import BACKGROUND, COMPOSITIONS
from attn_tutorial.clutter import SEVERITIES, Clutter, to_input
from attn_tutorial.datasets import load_images
from attn_tutorial.errors import InputError
from attn_tutorial.evaluation import evaluate
from attn_tutorial.evaluation.names import NOT_TESTED
from attn_tutorial.spec import RunSpec


@pytest.fixture(scope="module")
def images():
    return load_images("shapes", "test", size=24).take(60)


class Colours(nn.Module):
    """Classes by the mean colours of a canvas: small, and different from canvas to canvas."""

    def __init__(self, classes=10):
        super().__init__()
        torch.manual_seed(3)
        self.last = nn.Linear(3, classes)
        nn.init.normal_(self.last.weight, std=3)

    def forward(self, x):
        return self.last(x.float().mean((2, 3)))


def test_reading_as_the_package_is_what_its_networks_read(images):
    canvas = Clutter(severity=3).render(images, torch.arange(10)).canvas
    torch.testing.assert_close(PACKAGE(canvas), to_input(canvas), atol=1e-5, rtol=0)


def test_a_networks_answers_are_those_of_a_run(images):
    """On every condition that a study tests: the same images, canvases and answers."""
    spec = RunSpec.parse(
        {
            "data": {"name": "shapes", "size": 24},
            "training": {"samples": 128},
            "evaluation": {"types": COMPOSITIONS, "look": None, "recalibrated": []},
        }
    )
    torch.manual_seed(0)
    network = resnet(8, 16).eval()
    expected = evaluate(network, spec, images, images)["answers"]
    (answers,) = benchmark(network, images, progress=False).answers
    for (types, severity), classes in expected.items():
        # The two scale pixels in another order, so a near tie may turn.
        assert (answers.predicted["test", types, severity] == classes).mean() > 0.98
    assert {(types, severity) for _, types, severity in answers.predicted} == set(expected)


def test_torchvisions_and_timms_networks_are_tested(images):
    torch.manual_seed(0)
    for network in (
        torchvision.models.resnet18(num_classes=10),
        timm.create_model("mobilenetv3_small_050", num_classes=10),
    ):
        network.train()
        result = benchmark(network, images, "imagenet", count=10, progress=False)
        assert result.kind == "module"
        assert result.accuracies().shape == (len(COMPOSITIONS), len(SEVERITIES))
        assert not result.remarks
        assert not network.training


@pytest.mark.parametrize("kind", ["torch.export", "TorchScript", "ONNX"])
def test_a_file_gives_the_answers_of_its_network(images, tmp_path, kind):
    network, x = Colours().eval(), torch.zeros(2, 3, 48, 48, dtype=torch.uint8)
    free = torch.export.Dim.DYNAMIC
    if kind == "torch.export":
        path = tmp_path / "network.pt2"
        torch.export.save(torch.export.export(network, (x,), dynamic_shapes=({0: free},)), path)
    elif kind == "TorchScript":
        path = tmp_path / "network.pt"
        torch.jit.trace(network, x).save(path)
    else:
        path = tmp_path / "network.onnx"
        torch.onnx.export(network, (x,), path, dynamo=True, dynamic_shapes=({0: free},), verbose=False)
    result, module = benchmark(path, images, progress=False), benchmark(network, images, progress=False)
    assert result.kind == kind
    assert len(result.sha256[0]) == 64
    for cell, named in module.answers[0].predicted.items():
        assert np.array_equal(result.answers[0].predicted[cell], named)


def by_hand(path, batch="batch", kind=TensorProto.FLOAT, side=48):
    """An ONNX file that no exporter of PyTorch made: mean colours, then a matrix."""
    weights = np.random.default_rng(0).normal(0, 3, (3, 10)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["canvas"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["x"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("canvas", kind, [batch, 3, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 10])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, path)
    return path


def test_an_onnx_file_of_another_exporter_is_tested_with_its_normalisation(images, tmp_path):
    path = by_hand(tmp_path / "hand.onnx")
    result = benchmark(path, images, Reads(pixels="float", mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)), progress=False)
    weights = torch.from_numpy(np.random.default_rng(0).normal(0, 3, (3, 10)).astype(np.float32))
    canvas = Clutter(("mosaic",), 4).render(images, torch.arange(60)).canvas / 255
    x = (canvas - torch.tensor([0.5, 0.4, 0.3])[:, None, None]) / torch.tensor([0.2, 0.3, 0.4])[:, None, None]
    named = (x.mean((2, 3)) @ weights).argmax(1)
    assert (result.answers[0].predicted["test", "mosaic", 4] == named.numpy()).mean() > 0.95
    with pytest.raises(
        InputError, match=r"reads float32, so its normalisation must be stated, .*0-1, imagenet, package"
    ):
        benchmark(path, images, progress=False)
    with pytest.raises(InputError, match=r"`reads` must be float, as the input of .* is, but got uint8"):
        benchmark(path, images, "uint8", progress=False)


def test_an_onnx_file_of_one_batch_size_is_tested_in_such_batches(images, tmp_path):
    free = benchmark(by_hand(tmp_path / "free.onnx"), images, "0-1", progress=False)
    fixed = benchmark(by_hand(tmp_path / "fixed.onnx", batch=16), images, "0-1", progress=False)
    assert fixed.remarks == ("It takes batches of 16 canvases only; the last one was filled up.",)
    for cell, named in free.answers[0].predicted.items():
        assert np.array_equal(fixed.answers[0].predicted[cell], named)


def test_canvases_are_resized_for_a_network_of_another_side(images, tmp_path):
    path = by_hand(tmp_path / "large.onnx", side=96)
    with pytest.raises(InputError, match=r"must read torch.float32 of shape \(8, 3, 48, 48\), but stopped with"):
        benchmark(path, images, "0-1", progress=False)
    large = IMAGENET.model_copy(update={"side": 96})
    assert large(torch.zeros(2, 3, 48, 48, dtype=torch.uint8)).shape == (2, 3, 96, 96)
    assert benchmark(path, images, large, progress=False).reads.side == 96
    whole = Reads(side=96)(torch.full((1, 3, 48, 48), 7, dtype=torch.uint8))
    assert whole.dtype == torch.uint8
    assert (whole == 7).all()


class Odd(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.inner, self.change = Colours(), change

    def forward(self, x):
        return self.change(x, self.inner(x))


def fails_alone(x, logits):
    if len(x) == 1:
        raise ValueError("Expected more than 1 value per channel")
    return logits


def depends_on_others(x, logits):
    return logits - logits.mean(0) if len(x) > 1 else logits + 1


def noisy(x, logits):
    return logits + 50 * torch.randn_like(logits)


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        (fails_alone, "It does not take a single canvas .*Expected more than 1 value"),
        (depends_on_others, "Its answer to a canvas depends on the other canvases of the batch."),
        (noisy, r"not give the same logits twice: 3 tests on surround\+noise at severity 5 gave [\d.]+ to [\d.]+ %"),
    ],
)
def test_doubtful_networks_are_tested_with_a_remark(images, change, remark):
    result = benchmark(Odd(change), images, progress=False)
    assert any(re.search(remark, each) for each in result.remarks), result.remarks
    assert len(result.remarks) == 1
    assert result.remarks[0] in str(result)


def nan_in_mosaic(x, logits):
    return logits / 0 if len(x) == 60 else logits


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Colours(7), r"logits for 10 classes \(.*\), shape \(8, 10\), but returned \(8, 7\). Train a head"),
        (Odd(lambda x, logits: logits * float("nan")), "finite logits, but 8 of 8 canvases of .* gave NaN"),
        (Odd(nan_in_mosaic), "finite logits, but 60 of 60 canvases of noise at severity 0 gave NaN"),
        (Odd(lambda x, logits: (logits, x)), "return one tensor of logits, but returned tuple"),
        (nn.Conv2d(3, 10, 3), "must read torch.uint8 of shape .*, but stopped with"),
        ("nothing.onnx", "nothing.onnx must be a file that can be read, but is not"),
        ("network.h5", "must end in .onnx, .pt2, .pt, .pth, .ts, but got 'network.h5'"),
        (7, "but got int"),
        ([], "at least one network"),
    ],
)
def test_what_cannot_be_tested_is_named(images, network, message):
    with pytest.raises(InputError, match=message):
        benchmark(network, images, progress=False)


def test_files_that_are_no_networks_are_named(images, tmp_path):
    torch.save(Colours().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"weights.pt must be a network that torch.jit.save wrote.*state_dict"):
        benchmark(tmp_path / "weights.pt", images)
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x07not a network")
    with pytest.raises(InputError, match=r"broken.onnx must be an ONNX network that can be run, but is not"):
        benchmark(tmp_path / "broken.onnx", images)
    (tmp_path / "broken.pt2").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"broken.pt2 must be a network that torch.export.save wrote"):
        benchmark(tmp_path / "broken.pt2", images)


def test_onnx_without_its_package_says_what_to_install(images, tmp_path, monkeypatch):
    monkeypatch.setattr("attn_tutorial.benchmark.network.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install onnxruntime"):
        benchmark(by_hand(tmp_path / "hand.onnx"), images, "0-1")


def test_other_images_than_test_images_are_refused(images):
    with pytest.raises(InputError, match="the split 'test' of an image set, but got the split 'val'"):
        benchmark(Colours(), load_images("shapes", "val", size=24))
    with pytest.raises(InputError, match=r"reads must be one of .* but got 'grey'"):
        benchmark(Colours(), images, "grey")


def test_occlusion_is_tested_on_fewer_images(images, monkeypatch):
    monkeypatch.setattr("attn_tutorial.benchmark.testing.SECONDARY_IMAGES", 40)
    (answers,) = benchmark(Colours(), images, progress=False).answers
    counts = {types: int((answers.predicted["test", types, 3] != NOT_TESTED).sum()) for types in COMPOSITIONS}
    assert counts == {types: 60 if types in BACKGROUND else 40 for types in COMPOSITIONS}
