"""What must hold on a GPU: the CPU's pixels, the precision of bfloat16, the same bits twice, and no waiting."""

import copy

import pytest
import torch

from attn_tutorial.blocks import build_block
from attn_tutorial.clutter import CLUTTER_TYPES, Clutter
from attn_tutorial.datasets import load_images
from attn_tutorial.spec import RunSpec
from attn_tutorial.training import Execution, Stopped, build_model, fit, weights_sha256
from attn_tutorial.training.loop import make_batches, step_input, train_step
from attn_tutorial.training.optimisers import make_optimisers

pytestmark = pytest.mark.cuda
CUDA = torch.device("cuda")
NAMES = (None, "se", "cbam", "non_local", "global_context", "ela", "lka", "grn")


@pytest.fixture(scope="module")
def images():
    return load_images("shapes", "train", size=24).take(2000).to(CUDA)


def spec_of(block, **training):
    recipe = {"samples": 2560, "batch_size": 128, **training}
    return RunSpec.parse({"data": {"name": "shapes", "size": 24}, "training": recipe, "block": block})


@pytest.mark.parametrize("types", [*((name,) for name in CLUTTER_TYPES), CLUTTER_TYPES], ids="+".join)
def test_pixels_are_the_cpus(images, types):
    there, here = images, images.to("cpu")
    chosen = torch.arange(500)
    for severity in range(6):
        clutter = Clutter(types, severity)
        ours = clutter.render(there, chosen.to(CUDA), epoch=3)
        cpus = clutter.render(here, chosen, epoch=3)
        for field in ("canvas", "label", "tile_box", "visible_mask", "fragment_id"):
            assert torch.equal(getattr(ours, field).cpu(), getattr(cpus, field)), (field, severity)


@pytest.mark.parametrize("block", NAMES)
def test_a_step_in_bfloat16_is_near_one_in_float32(images, block):
    spec = spec_of(block)
    model = build_model(spec, images)
    x, label, _ = step_input(spec, make_batches(spec, images), 0)
    gradients = {}
    for precision in ("float32", "bfloat16"):
        way = Execution(precision, "channels_last", 1, compiled=False)
        network = way.place(copy.deepcopy(model), CUDA).train()
        with way.autocast(CUDA):
            loss = torch.nn.functional.cross_entropy(network(x).float(), label)
        loss.backward()
        moved = [weight.grad.flatten() for weight in network.parameters() if weight.requires_grad]
        gradients[precision] = torch.cat([loss.detach()[None], *moved])
    exact, near = gradients["float32"], gradients["bfloat16"]
    assert near.isfinite().all()
    assert abs(near[0] - exact[0]) < 0.02 * exact[0]
    assert torch.nn.functional.cosine_similarity(near[1:], exact[1:], dim=0) > 0.98


@pytest.mark.parametrize("block", NAMES)
def test_the_same_run_gives_the_same_bits_interrupted_or_not(images, tmp_path, block):
    spec = spec_of(block)
    straight = fit(spec, images)
    left = iter(range(6))
    with pytest.raises(Stopped):
        fit(spec, images, tmp_path, should_stop=lambda: next(left, None) is None)
    resumed = fit(spec, images, tmp_path)
    assert resumed.resumed_at
    assert weights_sha256(resumed.model) == weights_sha256(straight.model)


@pytest.mark.parametrize("block", NAMES)
def test_nothing_in_a_step_waits_for_the_gpu(images, block):
    spec = spec_of(block)
    way = Execution.choose(CUDA, "auto", spec.backbone, spec.clutter.canvas)
    network = way.place(build_model(spec, images), CUDA).train()
    optimisers, batches = make_optimisers(network, spec.training), make_batches(spec, images)

    def step(number):
        x, label, taught = step_input(spec, batches, number)
        return train_step(network, optimisers, x, label, 0.1, way, taught)

    for number in range(4):  # these draw the batches of the first group, and warm up
        step(number)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number in range(4, 9):  # among them a step that renders
            step(number)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(("name", "options"), [("channel", {}), ("se", {"squeeze": "max"}), ("cbam", {})])
def test_gradients_of_the_maximum_are_the_same_each_time(name, options):
    torch.manual_seed(0)
    block = build_block(name, 64, **options).to(CUDA)
    x = torch.randn(32, 64, 24, 24, device=CUDA).round(decimals=1)  # with ties
    found = []
    for _ in range(5):
        at = x.clone().requires_grad_()
        block(at).square().sum().backward()
        found.append(at.grad)
    assert all(torch.equal(each, found[0]) for each in found)
