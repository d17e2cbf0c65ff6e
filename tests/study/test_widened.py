import importlib.util
from pathlib import Path

import pytest

from attn_tutorial.spec import BackboneSpec, Images
from attn_tutorial.study import Preset, Study, preset_names
from attn_tutorial.study.read_yaml import read_yaml

ROOT = Path(__file__).parents[2]
NETWORKS = read_yaml((ROOT / "attn_tutorial/study/widened.yaml").read_text(), "widened.yaml")["networks"]
IMAGES = Images(name="cifar10", source="CIFAR-10", fingerprint="a" * 64, archive_sha256=None)


def generator():
    spec = importlib.util.spec_from_file_location("widened_table", ROOT / "benchmarks/widened_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("entry", NETWORKS, ids=lambda e: f"{e['backbone']['depth']}-{e['to']}-{e['by']}")
def test_a_widened_network_is_as_large_as_the_one_with_blocks(entry):
    table = generator()
    backbone, measure = BackboneSpec(**entry["backbone"]), table.MEASURES[entry["by"]]
    wanted = measure(table.build(backbone, **table.slots(entry["to"])))
    got = measure(table.build(backbone, widths=tuple(entry["widths"])))
    plain = measure(table.build(backbone))
    assert (entry["plain"], entry["wanted"], entry["got"]) == (plain, wanted, got)
    assert abs(got - wanted) < 0.005 * plain


def test_every_preset_has_its_widened_networks():
    backbones = [spec for name in preset_names() for spec in Preset.load(name).backbones]
    for spec in backbones:
        own = spec.model_dump(include={"depth", "width", "stem"})
        kinds = {(entry["to"], entry["by"]) for entry in NETWORKS if entry["backbone"] == own}
        assert kinds == {(to, by) for to in ("cbam", "non_local") for by in ("parameters", "flops")}


@pytest.mark.parametrize("preset", preset_names())
def test_the_plan_of_main_holds_them_as_plain_networks(preset):
    runs = Study.load("main").plan(preset, IMAGES, seeds=1)
    wide = [run for run in runs if run.variant.startswith("wider")]
    assert {run.spec.block for run in wide} == {None}
    assert all(run.spec.backbone.widths for run in wide)
    # ResNet-8 has no two networks between its own size and CBAM's: one stands for both.
    assert len(wide) == sum(3 if backbone.depth == 8 else 4 for backbone in Preset.load(preset).backbones)
