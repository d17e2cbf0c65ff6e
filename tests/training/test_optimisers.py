"""Which optimiser moves which weight, at which peak, and with which decay."""

import pytest
import torch
from torch.optim import SGD

from attn_tutorial.backbones import resnet
from attn_tutorial.spec import RunSpec
from attn_tutorial.training.muon import Muon
from attn_tutorial.training.optimisers import make_optimisers, set_learning_rates

OPTIMISERS = pytest.mark.parametrize("optimiser", ["muon", "sgd"])


def recipe(block="cbam", **training):
    training = {"samples": 1280, "lr": 0.05, "conv_lr": 0.08, "weight_decay": 5e-4, **training}
    return RunSpec.parse({"data": {"name": "shapes"}, "training": training, "block": block}).training


def network(block="cbam", **arguments):
    torch.manual_seed(0)
    return resnet(8, 16, stem="whiten4", block=block, **arguments)


def treatment(model, optimisers):
    """By name of the weight: which optimiser moves it, its peak, and its decay (Muon has none)."""
    names = {id(weight): name for name, weight in model.named_parameters()}
    found = {}
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            for weight in group["params"]:
                assert names[id(weight)] not in found, "moved twice"
                found[names[id(weight)]] = (type(optimiser), group["peak"], group.get("weight_decay", 0.0))
    return found


@OPTIMISERS
@pytest.mark.parametrize("block_lr", [None, 0.2, 0.01])
@pytest.mark.parametrize("block", ["se", "cbam", "non_local"])
def test_the_blocks_have_a_peak_of_their_own_and_the_rest_keeps_its_treatment(block, block_lr, optimiser):
    model = network(block)
    found = treatment(model, make_optimisers(model, recipe(block, block_lr=block_lr, conv_optimizer=optimiser)))
    assert set(found) == {name for name, weight in model.named_parameters() if weight.requires_grad}
    for name, weight in model.named_parameters():
        if ".slot." in name:
            expected = (SGD, block_lr or 0.05, 0.0)  # convolutions of blocks, too
        elif name == "stem.0.weight":
            continue  # frozen
        elif weight.ndim == 4 and optimiser == "muon":
            expected = (Muon, 0.08, 0.0)
        else:
            expected = (SGD, 0.05, 5e-4 if weight.ndim > 1 else 0.0)
        assert found[name] == expected, name


@OPTIMISERS
@pytest.mark.parametrize("block_lr", [None, 0.2])
def test_a_pooling_that_attends_is_treated_as_a_block(optimiser, block_lr):
    given = RunSpec.parse(
        {
            "data": {"name": "cifar10"}, "backbone": {"pooling": "attention"},
            "training": {"samples": 1280, "block_lr": block_lr, "conv_optimizer": optimiser},
        }
    )  # fmt: skip
    torch.manual_seed(0)
    model = resnet(8, 16, pooling="attention")
    found = treatment(model, make_optimisers(model, given.training))
    assert found["pool.query"] == (SGD, block_lr or 0.05, 0.0)
    assert found["head.bias"] == (SGD, 0.05, 0.0)
    assert set(found) == {name for name, weight in model.named_parameters() if weight.requires_grad}


@OPTIMISERS
def test_without_a_rate_of_their_own_blocks_move_as_with_the_common_one(optimiser):
    """Bit for bit, over a few steps: None means `lr`."""
    ends = []
    for block_lr in (None, 0.05, 0.2):
        given = recipe(block_lr=block_lr, conv_optimizer=optimiser)
        model = network()
        optimisers = make_optimisers(model, given)
        x = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
        for step in range(3):
            set_learning_rates(optimisers, given, step, 10)
            model.zero_grad()
            model(x).square().mean().backward()
            for each in optimisers:
                each.step()
        ends.append(model.state_dict())
    usual, same, other = ends
    assert all(torch.equal(same[name], weight) for name, weight in usual.items())
    assert not torch.equal(usual["stage1.0.slot.spatial.conv.weight"], other["stage1.0.slot.spatial.conv.weight"])


def test_every_group_follows_the_schedule_to_its_own_peak():
    given = recipe(block_lr=0.2, warmup=0.2)
    model = network()
    optimisers = make_optimisers(model, given)
    for step, share in ((0, 0.5), (1, 1.0), (6, 0.5), (9, 0.125)):
        set_learning_rates(optimisers, given, step, 10)
        rates = {group["peak"]: group["lr"] for each in optimisers for group in each.param_groups}
        assert rates == pytest.approx({peak: share * peak for peak in (0.05, 0.2, 0.08)}), step


@pytest.mark.parametrize("block_lr", [None, 0.2])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_momentum_is_nesterovs_in_every_group_that_sgd_moves(block_lr, momentum):
    sgd = make_optimisers(network(), recipe(block_lr=block_lr, momentum=momentum))[0]
    assert {(group["momentum"], group["nesterov"]) for group in sgd.param_groups} == {(momentum, momentum > 0)}


def test_a_network_without_blocks_has_no_group_for_them():
    sgd, muon = make_optimisers(network(None), recipe(None))
    assert [group["peak"] for group in sgd.param_groups] == [0.05, 0.05]
    assert len(muon.param_groups) == 1


@OPTIMISERS
def test_the_query_of_attention_pooling_is_moved_by_sgd_and_does_not_decay(optimiser):
    model = network(None, pooling="attention")
    found = treatment(model, make_optimisers(model, recipe(None, conv_optimizer=optimiser)))
    assert found["pool.query"] == (SGD, 0.05, 0.0)
