"""Blocks and networks with blocks in traces of torch.fx, and channels that a block cannot have."""

import copy
import pickle

import pytest
import torch
import torchvision.models as tv
from torch import fx, nn
from torchvision.models.feature_extraction import create_feature_extractor

from attn_tutorial.backbones import insert_blocks, resnet
from attn_tutorial.blocks import BLOCK_NAMES, build_block

every_block = pytest.mark.parametrize("name", BLOCK_NAMES)


def features(size=8):
    return torch.randn(2, 32, size, size, generator=torch.Generator().manual_seed(0))


@every_block
def test_a_block_can_be_traced_and_stays_what_it_is(name):
    torch.manual_seed(0)
    block = build_block(name, 32).eval()
    keys = list(block.state_dict())
    traced = fx.symbolic_trace(block)
    for x in (features(), features(5), features().double()):
        of_type = copy.deepcopy(block).to(x.dtype), copy.deepcopy(traced).to(x.dtype)
        torch.testing.assert_close(of_type[1](x), of_type[0](x), rtol=0, atol=0)
    assert list(block.state_dict()) == keys
    assert sum(each.numel() for each in traced.parameters()) == sum(each.numel() for each in block.parameters())
    torch.testing.assert_close(copy.deepcopy(block)(features()), block(features()))
    torch.testing.assert_close(pickle.loads(pickle.dumps(block))(features()), block(features()))


@every_block
def test_features_can_be_taken_from_a_network_with_blocks(name):
    torch.manual_seed(0)
    model = tv.resnet18(num_classes=10).eval()
    plain = create_feature_extractor(model, ["layer4"])
    insert_blocks(model, "layer*.*.bn2", name)
    images = torch.randn(1, 3, 64, 64)
    seen = []
    model.layer4.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model(images)
    taken = create_feature_extractor(model, ["layer4"])(images)["layer4"]
    assert torch.equal(taken, seen[0])
    if name not in ("identity", "non_local", "se+non_local", "cbam+non_local", "global_context", "grn"):
        assert not torch.equal(taken, plain(images)["layer4"])


@pytest.mark.parametrize("name", ["cbam", "non_local"])
def test_the_studys_network_can_be_traced(name):
    torch.manual_seed(0)
    model = resnet(8, 16, stem="whiten4", block=name).eval()
    traced = fx.symbolic_trace(model)
    images = torch.randn(2, 3, 48, 48)
    assert torch.equal(traced(images), model(images))
    blocks = [node for node in traced.graph.nodes if node.op == "call_module" and node.target.endswith("slot")]
    assert len(blocks) == 3


def test_a_traced_block_learns():
    torch.manual_seed(0)
    block = build_block("cbam", 32)
    traced = fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, 32, 3), block))
    traced(torch.randn(2, 3, 9, 9)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())


@pytest.mark.parametrize("channels", [0, -3, 64.0, "64", True, None, torch.tensor(64)], ids=repr)
@pytest.mark.parametrize("name", ["eca", "se", "simam", "se+spatial"])
def test_channels_must_be_a_whole_number(name, channels):
    with pytest.raises(ValueError, match=r"`channels` of block .* must be a whole number of at least 1, but got"):
        build_block(name, channels)
