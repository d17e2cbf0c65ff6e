"""Blocks stay where they were inserted when other tools rebuild, copy, wrap or trace the network."""

import copy
import operator
from functools import partial
from types import SimpleNamespace

import pytest
import timm
import torch
import torchvision.models as tv
from torch import nn
from torch.nn.utils import prune
from torch.optim.swa_utils import AveragedModel
from torch.utils.checkpoint import checkpoint
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from attn_tutorial.backbones import insert_blocks
from attn_tutorial.errors import InputError


def images(size=64, channels=3):
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))


def extended(block="static_gate", pattern="layer*.*.bn2", **options):
    torch.manual_seed(0)
    model = tv.resnet18(num_classes=10)
    places = insert_blocks(model, pattern, block, **options)
    return model, places


def gates(model):
    """The blocks' gates: each halves its features, so a network without them answers differently."""
    return [key for key, _ in model.named_parameters() if key.endswith("attention_block.logits")]


def learns(model, size=64):
    model.zero_grad()
    model(images(size)).square().sum().backward()
    return all(parameter.grad is not None for parameter in model.parameters())


def test_converting_batch_norm_keeps_the_blocks():
    model, places = extended()
    keys, expected = list(model.state_dict()), model.eval()(images())
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert sum(isinstance(module, nn.SyncBatchNorm) for module in converted.modules()) == 20
    assert list(converted.state_dict()) == keys
    torch.testing.assert_close(converted.eval()(images()), expected)
    assert len(gates(converted)) == len(places)


def test_other_tools_that_replace_modules_keep_the_blocks():
    frozen = timm.utils.model.freeze_batch_norm_2d
    model, places = extended()
    expected = model.eval()(images())
    torch.testing.assert_close(frozen(model)(images()), expected)
    assert len(gates(model)) == len(places)
    model, places = extended(pattern="layer*.*.conv2")
    expected = model.eval()(images())
    for module in list(model.modules()):  # as tools that swap layers do
        for name, child in module.named_children():
            if isinstance(child, nn.Conv2d):
                new = nn.Conv2d(child.in_channels, child.out_channels, child.kernel_size, child.stride, child.padding,
                                bias=False)  # fmt: skip
                new.load_state_dict(child.state_dict())
                setattr(module, name, new)
    torch.testing.assert_close(model(images()), expected)
    assert learns(model)


def test_pruning_and_spectral_norm_act_on_the_module_inside():
    model, _ = extended(pattern="layer1.0.conv2")
    convolution = model.layer1[0].conv2
    prune.l1_unstructured(convolution.before_block, "weight", 0.5)
    assert (convolution.weight == 0).float().mean() == pytest.approx(0.5, abs=0.01)
    nn.utils.parametrizations.spectral_norm(model.layer2[0].conv1)
    assert learns(model)


def test_a_module_followed_by_a_block_looks_like_itself():
    model, _ = extended()
    place = model.layer1[0].bn2
    assert (place.num_features, place.eps) == (64, 1e-5)
    assert place.weight is place.before_block.weight
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = place.nothing
    for block in model.modules():  # as torchvision's zero_init_residual does
        if isinstance(block, tv.resnet.BasicBlock):
            nn.init.zeros_(block.bn2.weight)
    assert not model.state_dict()["layer1.0.bn2.weight"].any()


def test_keys_stay_and_missing_ones_are_named_as_saved():
    model, places = extended()
    insert_blocks(model, "layer1", "static_gate")
    insert_blocks(model, "layer2.0", "static_gate")  # around a place that has one
    plain = tv.resnet18(num_classes=10).state_dict()
    blocks = {f"{place}.attention_block.logits" for place in [*places, "layer1", "layer2.0"]}
    assert set(model.state_dict()) == {*plain, *blocks}
    assert [key for key in model.state_dict() if key in plain] == list(plain)
    again = extended()[0]
    insert_blocks(again, "layer1", "static_gate")
    insert_blocks(again, "layer2.0", "static_gate")
    assert not again.load_state_dict(model.state_dict()).missing_keys
    torch.testing.assert_close(again.eval()(images()), model.eval()(images()))
    saved = dict(model.state_dict())
    del saved["layer2.0.bn2.weight"]
    saved["layer2.0.bn2.more"] = torch.zeros(1)
    missing, unexpected = model.load_state_dict(saved, strict=False)
    assert (missing, unexpected) == (["layer2.0.bn2.weight"], ["layer2.0.bn2.more"])
    with pytest.raises(RuntimeError, match=r'Missing key.*"layer2.0.bn2.weight"'):
        model.load_state_dict(saved)


@pytest.mark.parametrize(
    "wrap",
    [
        copy.deepcopy,
        nn.DataParallel,
        AveragedModel,
        partial(timm.utils.ModelEmaV3, decay=0.9),
        lambda model: lambda x: checkpoint(model, x, use_reentrant=False),
        lambda model: torch.compile(model, backend="eager", fullgraph=True),
    ],
    ids=["copy", "DataParallel", "averaged", "EMA", "checkpointing", "compiled"],
)
def test_wrapped_and_copied_networks_answer_the_same(wrap):
    torch.compiler.reset()
    model, _ = extended(block="cbam", pattern="layer*.*.bn2")
    expected = model.eval()(images())
    wrapped = wrap(model)
    if isinstance(wrapped, nn.Module):
        wrapped.eval()
    torch.testing.assert_close(wrapped(images()), expected)


def test_blocks_are_not_put_into_compiled_networks():
    torch.compiler.reset()
    for model in (torch.compile(tv.resnet18(), backend="eager"), nn.Sequential(tv.resnet18())):
        if isinstance(model, nn.Sequential):
            model[0].layer1.compile(backend="eager")
        with pytest.raises(
            InputError, match=r"must not be compiled yet, .*Insert the blocks first, then call torch.comp"
        ):
            insert_blocks(model, "*.layer2.*.bn2", "se")
        assert not any("attention_block" in key for key in model.state_dict())


def test_a_network_that_was_compiled_by_somebody_else_calls_the_blocks_too():
    torch.compiler.reset()
    model = tv.resnet18(num_classes=10).eval()
    compiled = torch.compile(model, backend="eager")
    plain = compiled(images())
    insert_blocks(model, "layer*.*.bn2", "static_gate")
    expected = model(images())
    assert not torch.allclose(expected, plain)
    torch.testing.assert_close(compiled(images()), expected)


class Keeps(nn.Module):
    """Keeps its features, which have a gradient function and so cannot be copied."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.last = None

    def forward(self, x):
        self.last = self.conv(x)
        return self.last


class Plain(nn.Module):
    """Has a tensor that is neither a parameter nor a buffer."""

    def __init__(self):
        super().__init__()
        self.conv, self.mean = nn.Conv2d(3, 6, 3), torch.tensor([0.5])

    def forward(self, x):
        return self.conv(x - self.mean)


class ReadsValues(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)

    def forward(self, x):
        return self.conv(x) * x.max().item()


def old_weight_norm():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(nn.utils.weight_norm(nn.Conv2d(3, 6, 3)), nn.Dropout(), nn.BatchNorm2d(6))


@pytest.mark.parametrize(
    ("make", "place"), [(Keeps, "conv"), (Plain, "conv"), (ReadsValues, "conv"), (old_weight_norm, "2")]
)
def test_networks_that_cannot_be_copied_or_moved_are_called_themselves(make, place):
    torch.manual_seed(0)
    model = make()
    model(images())  # now `Keeps` has features with a gradient function
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    assert insert_blocks(model, place, "static_gate") == [place]
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for name, module in model.named_modules() if "attention_block" not in name][: len(modes)]
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    assert model.training
    assert model.get_submodule(place).attention_block.channels == 6
    assert learns(model)


class Listed(nn.Module):
    """Calls its layer through a plain list, where nothing in the module tree can stand between."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.layers = [self.conv]

    def forward(self, x):
        return self.layers[0](x)


def test_a_module_that_is_reached_in_another_way_is_refused_and_nothing_changes():
    model = Listed()
    keys = list(model.state_dict())
    with pytest.raises(
        InputError, match="after 'conv': the network reaches this module in another way than by its name"
    ):
        insert_blocks(model, "conv", "se", reduction=2)
    assert list(model.state_dict()) == keys
    assert isinstance(model.conv, nn.Conv2d)


def test_a_module_with_two_names_gets_one_block_under_both():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 6, 3)
            self.second = self.first

        def forward(self, x):
            return self.second(x)

    model = Tied()
    assert insert_blocks(model, "first", "static_gate") == ["first"]
    assert model.first is model.second
    assert learns(model)


SWIN = partial(timm.create_model, "swin_tiny_patch4_window7_224", num_classes=5)
VIT = partial(timm.create_model, "vit_tiny_patch16_224", num_classes=5)


@pytest.mark.parametrize(
    ("make", "place", "layout", "channels"),
    [
        (SWIN, "layers.0.blocks.0", "channels_last", 96),
        (VIT, "blocks.1", "tokens", 192),
        (partial(tv.convnext_tiny, num_classes=5), "features.1.0.block.3", "channels_last", 384),
        (partial(tv.swin_t, num_classes=5), "features.1.0", "channels_last", 96),
    ],
    ids=["swin", "vit", "convnext", "torchvision's swin"],
)
def test_other_layouts_are_refused_by_default_and_taken_by_name(make, place, layout, channels):
    torch.manual_seed(0)
    model = make().eval()
    pixels = images(224)[:1]
    expected = model(pixels)
    with pytest.raises(InputError, match=rf'layout="{layout}"'):
        insert_blocks(model, place, "eca")
    insert_blocks(model, place, "static_gate", layout=layout, at_start="identity")
    block = model.get_submodule(place).attention_block
    assert block.channels == channels
    torch.testing.assert_close(model(pixels), expected)
    nn.init.constant_(block.logits, -30.0)  # a gate of zero
    assert not torch.equal(model(pixels), expected)


def test_a_block_sees_the_places_of_tokens_and_passes_the_class_token_on():
    torch.manual_seed(0)
    model = VIT().eval()
    insert_blocks(model, "blocks.0", "spatial", layout="tokens")
    place = model.blocks[0]
    tokens = torch.randn(2, 197, 192)
    inner = place.before_block(tokens)
    outer = place(tokens)
    assert torch.equal(outer[:, 0], inner[:, 0])
    features = inner[:, 1:].reshape(2, 14, 14, 192).permute(0, 3, 1, 2)
    by_hand = place.attention_block(features).permute(0, 2, 3, 1).reshape(2, 196, 192)
    torch.testing.assert_close(outer[:, 1:], by_hand)


def test_refusals_of_a_layout_do_not_recommend_a_place_of_another_one():
    model = VIT()
    with pytest.raises(InputError) as refused:
        insert_blocks(model, "blocks.0", "se")
    said = str(refused.value).partition("Similar places that can have one: ")[2]
    assert said.startswith("patch_embed.proj")
    assert "norm" not in said
    with pytest.raises(InputError, match="layout must be one of channels_first, channels_last, tokens, but got 'nhwc'"):
        insert_blocks(model, "patch_embed.proj", "se", layout="nhwc")
    with pytest.raises(InputError, match=r"instead of floating-point tokens \(batch, tokens, channels\)"):
        insert_blocks(model, "patch_embed.proj", "se", layout="tokens")


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(16, 8, 2, 2), nn.ConvTranspose2d(16, 4, 2, 2)])

    def forward(self, x):
        first = self.down[0](x)
        x = self.up[0](self.down[1](first))
        return self.up[1](torch.cat([x, first], 1))


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (UNet, "down.*"),
        (UNet, "up.*"),
        (lambda: tv.segmentation.fcn_resnet50(weights=None, weights_backbone=None), "backbone.layer4.*.bn3"),
        (partial(resnet_fpn_backbone, backbone_name="resnet18", weights=None), "fpn.layer_blocks.*.0"),
    ],
    ids=["U-Net, down", "U-Net, up", "FCN", "FPN"],
)  # fmt: skip
def test_networks_for_pixels_take_blocks(make, pattern):
    torch.manual_seed(0)
    model = make().eval()
    before = model(images())
    places = insert_blocks(model, pattern, "static_gate", at_start="identity")
    assert places
    after = model(images())
    read = (lambda x: x) if isinstance(before, torch.Tensor) else lambda x: x[next(iter(x))]
    assert torch.equal(read(after), read(before))
    nn.init.constant_(operator.attrgetter("attention_block.logits")(model.get_submodule(places[-1])), 3.0)
    changed = model(images())
    assert any(not torch.equal(one, other) for one, other in zip(_tensors(changed), _tensors(before), strict=True))


def _tensors(output):
    return [output] if isinstance(output, torch.Tensor) else list(output.values())


class HuggingFaceStyle(nn.Module):
    """Named and nested as the ResNet of the transformers library, and returns an object with fields."""

    def __init__(self):
        super().__init__()

        def layer(channels, out):
            return nn.ModuleDict(
                {"convolution": nn.Conv2d(channels, out, 3, padding=1), "normalization": nn.BatchNorm2d(out)}
            )

        self.embedder = layer(3, 8)
        self.encoder = nn.ModuleDict({"stages": nn.ModuleList([layer(8, 16), layer(16, 32)])})

    def forward(self, pixel_values):
        x = pixel_values
        for layer in (self.embedder, *self.encoder["stages"]):
            x = layer["normalization"](layer["convolution"](x)).relu()
        return SimpleNamespace(last_hidden_state=x, pooler_output=x.mean((2, 3)))


def test_a_network_that_returns_an_object_takes_blocks():
    torch.manual_seed(0)
    model = HuggingFaceStyle().eval()
    before = model(images()).last_hidden_state
    places = insert_blocks(model, "encoder.stages.*.normalization", "static_gate")
    assert [model.get_submodule(f"{place}.attention_block").channels for place in places] == [16, 32]
    assert not torch.allclose(model(images()).last_hidden_state, before)
    with pytest.raises(InputError, match=r"it returns SimpleNamespace instead of|must match a module"):
        insert_blocks(nn.Sequential(HuggingFaceStyle()), "0", "static_gate")


def test_distributed_training_moves_the_blocks(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        model, places = extended(block="cbam")
        alone = copy.deepcopy(model)
        wrapped = nn.parallel.DistributedDataParallel(model)
        for network in (wrapped, alone):
            network(images()).square().sum().backward()
        gradients = dict(alone.named_parameters())
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(parameter.grad, gradients[name].grad)
        assert f"module.{places[0]}.attention_block.channel.mlp.0.weight" in wrapped.state_dict()
    finally:
        torch.distributed.destroy_process_group()
