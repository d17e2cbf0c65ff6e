"""What training would do on a GPU, tested without one: a step never waits for it. Backward is not run here."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from attn_tutorial.backbones import resnet
from attn_tutorial.spec import TrainingSpec
from attn_tutorial.training.curve import LearningCurve
from attn_tutorial.training.optimisers import make_optimisers, set_learning_rates


@pytest.mark.parametrize("block", [None, "cbam", "non_local"])
@pytest.mark.parametrize("optimizer", ["muon", "sgd"])
def test_forward_and_optimisers_never_wait_for_the_device(no_copy_to_host, block, optimizer):
    recipe = TrainingSpec(samples=1280, conv_optimizer=optimizer)
    with FakeTensorMode(), torch.device("cuda"):
        model = resnet(8, 32, stem="whiten4", block=block).train()
        optimisers = make_optimisers(model, recipe)
        x = torch.empty(16, 3, 48, 48)
        curve = LearningCurve(200, 16, x.device)
        for step in range(2):
            with no_copy_to_host():
                logits = model(x)
                assert (logits.shape, logits.device.type) == ((16, 10), "cuda")
                curve.add(torch.stack((logits.mean(), logits.max())))
                for weight in model.parameters():
                    if weight.requires_grad:
                        weight.grad = torch.empty_like(weight)
                set_learning_rates(optimisers, recipe, step, 10)
                for optimiser in optimisers:
                    optimiser.step()
        assert {weight.device.type for weight in model.parameters()} == {"cuda"}


def test_the_guard_sees_a_step_that_waits(no_copy_to_host):
    with FakeTensorMode(), torch.device("cuda"), pytest.raises(AssertionError), no_copy_to_host():
        torch.empty(3).cpu()
