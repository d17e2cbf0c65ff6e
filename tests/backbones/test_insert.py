"""Blocks in networks of other libraries: where they go, what stays as it is, and what is refused."""

import copy
import pickle

import pytest
import timm
import torch
import torchvision.models as tv
from torch import nn
from torchvision.ops import Permute

from attn_tutorial.backbones import insert_blocks, resnet
from attn_tutorial.blocks import BLOCK_NAMES
from attn_tutorial.errors import InputError

NETWORKS = {
    "resnet18": (tv.resnet18, "layer*.*.bn2", [64, 64, 128, 128, 256, 256, 512, 512]),
    "resnet50": (tv.resnet50, "layer[34].0.bn3", [1024, 2048]),
    "mobilenet_v3_small": (tv.mobilenet_v3_small, "features.*.block", [16, 24, 24, 40, 40, 40, 48, 48, 96, 96, 96]),
    "convnext_tiny": (tv.convnext_tiny, "features.[1357].0", [96, 192, 384, 768]),
    "timm_resnet26": (lambda: timm.create_model("resnet26"), "layer*.1.bn3", [256, 512, 1024, 2048]),
    "cifar_resnet": (lambda: resnet(8, 16), "stage*", [16, 32, 64]),
}
networks = pytest.mark.parametrize("network", NETWORKS)


def images(size=64):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@networks
def test_every_place_gets_a_block_of_its_channels(network):
    make, pattern, channels = NETWORKS[network]
    model = make()
    places = insert_blocks(model, pattern, "static_gate")
    blocks = [model.get_submodule(f"{place}.attention_block") for place in places]
    assert [block.channels for block in blocks] == channels
    assert len({id(block) for block in blocks}) == len(blocks)
    assert places == [name for name, _ in model.named_modules() if name in places]


@networks
def test_saved_weights_load_and_an_identity_leaves_the_outputs_unchanged(network):
    make, pattern, _ = NETWORKS[network]
    plain, model = make().eval(), make().eval()
    places = insert_blocks(model, pattern, "static_gate", at_start="identity")
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    assert unexpected == []
    assert missing == [f"{place}.attention_block.logits" for place in places]
    assert torch.equal(model(images()), plain(images()))


@networks
def test_each_block_acts_once_on_what_its_place_gives(network):
    """A gate of one half at a place, against the same network with that place's output halved by hand."""
    make, pattern, _ = NETWORKS[network]
    plain = make().eval()
    model = copy.deepcopy(plain)
    for place in insert_blocks(model, pattern, "static_gate"):
        plain.get_submodule(place).register_forward_hook(lambda module, inputs, output: output / 2)
    expected = plain(images())
    torch.testing.assert_close(model(images()), expected)


@pytest.mark.parametrize("name", BLOCK_NAMES)
def test_every_block_goes_in_and_learns(name):
    model = tv.resnet18(num_classes=10)
    insert_blocks(model, "layer[34].*", name, **({"zero_init": False} if name == "non_local" else {}))
    model(images()).square().sum().backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    ("name", "options", "millions", "added"),
    [
        ("se", {}, 28.09, 2_530_992),
        ("cbam", {"bias": True}, 28.09, None),
        ("cbam", {}, 28.07, None),
        ("eca", {}, 25.56, 13 * 5 + 3 * 7),
    ],
)
def test_published_sizes_of_resnet50(name, options, millions, added):
    with torch.device("meta"):
        model = tv.resnet50()
    before = count(model)
    insert_blocks(model, "layer*.*.bn3", name, **options)
    assert round(count(model) / 1e6, 2) == millions
    assert added is None or count(model) - before == added


def test_names_match_part_by_part():
    assert insert_blocks(tv.resnet18(), "layer?.0", "identity") == [f"layer{i}.0" for i in (1, 2, 3, 4)]
    assert insert_blocks(tv.resnet18(), "layer1.*.conv[2]", "identity") == ["layer1.0.conv2", "layer1.1.conv2"]
    assert insert_blocks(tv.resnet18(), "*1", "identity") == ["conv1", "bn1", "layer1"]


def test_mode_precision_and_a_second_block_elsewhere():
    model = tv.resnet18().double().eval()
    insert_blocks(model, "layer1", "se")
    model.layer2.train()
    insert_blocks(model, "layer2", "se")
    assert model.layer1.attention_block.mlp[0].weight.dtype == torch.float64
    assert not model.layer1.attention_block.training
    assert model.layer2.attention_block.training
    assert model.eval()(images().double()).dtype == torch.float64


def test_other_inputs_than_pictures_of_three_channels():
    model = nn.Sequential(nn.Conv2d(5, 8, 3), nn.Conv2d(8, 16, 3))
    assert insert_blocks(model, "0", "static_gate", example=torch.zeros(1, 5, 9, 9)) == ["0"]
    assert model[0].attention_block.channels == 8


class FixedSize(nn.Module):
    """Reads 32 x 32 pixels only: its linear layer counts them, and `late` comes after that layer."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.linear, self.late = nn.Linear(16 * 24 * 24, 64), nn.Conv2d(4, 8, 1)

    def forward(self, x):
        x = self.linear(self.conv2(self.conv1(x)).flatten(1))
        return self.late(x.unflatten(1, (4, 4, 4))).mean((2, 3))


@pytest.mark.parametrize(("place", "channels"), [("conv2", 16), ("late", 8)])
def test_networks_of_a_fixed_size_take_blocks_before_and_after_the_layer_that_fixes_it(place, channels):
    model = FixedSize().eval()
    expected = model(images(32))
    assert insert_blocks(model, place, "static_gate", example=images(32), at_start="identity") == [place]
    assert model.get_submodule(place).attention_block.channels == channels
    assert torch.equal(model(images(32)), expected)


def test_a_vision_transformer_takes_a_block_behind_its_patches():
    with torch.device("meta"):
        model = tv.vit_b_16()
    assert insert_blocks(model, "conv_proj", "se") == ["conv_proj"]
    assert model.conv_proj.attention_block.channels == 768


def test_the_larger_image_counts_up_to_where_a_network_of_a_fixed_size_fails():
    model = nn.Sequential(Permute([0, 2, 3, 1]), nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    with pytest.raises(InputError, match=r"returns \(1, 32, 32, 3\), and \(1, 64, 96, 3\) for a larger image"):
        insert_blocks(model, "0", "static_gate", example=torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("make", "example", "message"),
    [
        (
            lambda: nn.Conv2d(1, 4, 3),
            None,
            r"with \(1, 3, 224, 224\) of torch.float32: RuntimeError: .*. Give `example`",
        ),
        (lambda: nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 9, 9, dtype=torch.uint8), "of torch.uint8: .*. Give `example`"),
        (lambda: nn.LazyConv2d(4, 3), None, "cannot be called with.*call it once before, so that lazy modules"),
        (lambda: nn.Conv2d(3, 4, 3), (1, 3, 32, 32), r"must be a tensor \(batch.* but got \(1, 3, 32, 32\)"),
        (
            lambda: nn.Conv2d(3, 4, 3),
            torch.zeros(3, 32, 32),
            r"must be a tensor \(batch.* but got a tensor of shape \(3, 32, 32\)",
        ),
    ],
    ids=["channels", "type", "lazy", "a shape", "three axes"],
)
def test_an_example_the_model_cannot_be_called_with(make, example, message):
    model = nn.Sequential(make())
    keys = list(model.state_dict())
    with pytest.raises(InputError, match=message):
        insert_blocks(model, "0", "static_gate", example=example)
    assert list(model.state_dict()) == keys
    assert all(not module._forward_hooks for module in model.modules())


def test_looking_for_channels_leaves_the_model_as_it_is():
    model = tv.resnet18()
    before = copy.deepcopy(model.state_dict())
    insert_blocks(model, "layer1.0.bn1", "identity")
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_the_extended_model_copies_pickles_compiles_and_exports():
    model = tv.resnet18(num_classes=10).eval()
    insert_blocks(model, "layer[34].*.bn2", "se")
    insert_blocks(model, "layer1", "simam")
    expected = model(images())
    torch.testing.assert_close(copy.deepcopy(model)(images()), expected)
    torch.testing.assert_close(pickle.loads(pickle.dumps(model))(images()), expected)
    torch.compiler.reset()
    torch.testing.assert_close(torch.compile(model, backend="aot_eager", fullgraph=True)(images()), expected)
    torch.testing.assert_close(torch.export.export(model, (images(),)).module()(images()), expected)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.unused = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.pair = nn.LSTM(3, 3)

    def forward(self, x):
        x = self.conv(self.conv(x))
        self.pair(x.mean((2, 3)))
        return x


@pytest.mark.parametrize(
    ("make", "pattern", "message"),
    [
        (
            tv.resnet18,
            "layers*.*.bn2",
            "must match a module of this ResNet, but got 'layers.*Similar names: layer4.1.bn2, .*between two",
        ),
        (tv.resnet18, "layer1.bn2", "must match a module.*Similar names: layer4.1.bn2"),
        (tv.resnet18, "fc", r"after 'fc'.*it returns \(1, 1000\) instead of .*Similar places that can have one: \w"),
        (tv.resnet18, "layer1.0.relu", "it is called 2 times in a pass.*Similar places that can have one: layer1.0, "),
        (
            tv.convnext_tiny,
            "features.1.0.block.3",
            r"returns \(1, 56, 56, 384\), and \(1, 64, 72, 384\) for a larger image",
        ),
        (tv.densenet121, "features.denseblock1", "a container with its own forward"),
        (Twice, "unused", "it is called 0 times.*can have one: none"),
        (Twice, "pair", "it returns tuple instead of"),
    ],
    ids=["no match", "no match by parts", "2-D", "twice", "channels last", "container", "never", "tuple"],
)
def test_where_no_block_can_stand(make, pattern, message):
    model = make()
    keys = list(model.state_dict())
    with pytest.raises(InputError, match=message):
        insert_blocks(model, pattern, "static_gate")
    assert list(model.state_dict()) == keys


def test_a_second_block_at_one_place_and_blocks_that_do_not_fit_change_nothing():
    model = tv.resnet18()
    insert_blocks(model, "layer1.0", "se")
    keys = list(model.state_dict())
    with pytest.raises(InputError, match=r"after 'layer1.0', which 'layer1.\*' matches: it has a block already"):
        insert_blocks(model, "layer1.*", "se")
    with pytest.raises(ValueError, match="64 channels with reduction 128"):
        insert_blocks(model, "layer*.1", "se", reduction=128)
    with pytest.raises(ValueError, match="Did you mean 'reduction'"):
        insert_blocks(model, "layer2.1", "se", reductoin=4)
    assert list(model.state_dict()) == keys
