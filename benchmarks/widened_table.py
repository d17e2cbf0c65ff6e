"""Find the plain networks that have as many parameters, or operations, as one with blocks, and write the study's table.

    python benchmarks/widened_table.py

A control of study `main`: what a block adds, spent on channels instead. Each stage may be widened by itself, since a
channel more in every stage would already be more than a CBAM in every slot; of the networks that come nearest, the one
nearest to the backbone's own proportions is taken.
"""

import itertools
from pathlib import Path

import torch
import yaml

from attn_tutorial.backbones import resnet
from attn_tutorial.blocks.measure import count_flops
from attn_tutorial.spec import BackboneSpec, RunSpec
from attn_tutorial.study import Preset, Study, preset_names

TABLE = Path(__file__).parents[1] / "attn_tutorial/study/widened.yaml"
TARGETS = ("cbam", "non_local")
CANVAS = 48
MORE = 0.25  # no stage grows by more than this share
NEAR = 0.001  # networks whose distance differs by less than this share of the backbone's cost are equally near


def build(backbone: BackboneSpec, **more: object) -> torch.nn.Module:
    with torch.device("meta"):
        return resnet(backbone.depth, backbone.width, backbone.stem, **more)  # type: ignore[arg-type]


def parameters(model: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def flops(model: torch.nn.Module) -> int:
    return count_flops(model, torch.empty(1, 3, CANVAS, CANVAS, device="meta"))


MEASURES = {"parameters": parameters, "flops": flops}


def slots(variant: str) -> dict[str, object]:
    """What a variant of study main puts where."""
    change = Study.load("main").variants[variant]
    spec = RunSpec.parse({"data": {"name": "shapes"}, "training": {"samples": 128}, **change})
    return {"block": spec.block, "stages": spec.stages, "position": spec.position, "block_options": spec.block_options}


def search(backbone: BackboneSpec, target: str, by: str) -> dict[str, object]:
    measure = MEASURES[by]
    own = [backbone.width * 2**stage for stage in range(3)]
    wanted = measure(build(backbone, **slots(target)))
    plain = measure(build(backbone))
    step = 2 if backbone.stem == "whiten4" else 1  # whitening filters come in pairs
    ranges = [range(width, round(width * (1 + MORE)) + 1, step if stage == 0 else 1) for stage, width in enumerate(own)]

    def cost(widths: tuple[int, ...]) -> int:
        return measure(build(backbone, widths=widths))

    # Costs grow with every width, so that for two of them the third is found by halving.
    near = []
    for first, second in itertools.product(ranges[0], ranges[1]):
        low, high = ranges[2].start, ranges[2].stop - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if cost((first, second, middle)) < wanted else (low, middle)
        for third in {max(low - 1, own[2]), low}:
            near.append(((first, second, third), cost((first, second, third))))

    def unevenness(widths: tuple[int, ...]) -> float:
        shares = [width / usual for width, usual in zip(widths, own, strict=True)]
        return max(shares) - min(shares)

    least = min(abs(got - wanted) for _, got in near)
    equal = [entry for entry in near if abs(entry[1] - wanted) <= least + NEAR * plain]
    widths, got = min(equal, key=lambda entry: (unevenness(entry[0]), abs(entry[1] - wanted)))
    return {
        "backbone": {"depth": backbone.depth, "width": backbone.width, "stem": backbone.stem},
        "to": target, "by": by, "widths": list(widths), "plain": plain, "wanted": wanted, "got": got,
    }  # fmt: skip


def main() -> None:
    backbones = list(dict.fromkeys(backbone for name in preset_names() for backbone in Preset.load(name).backbones))
    found = [search(*case) for case in itertools.product(backbones, TARGETS, MEASURES)]
    for entry in found:
        print(entry)
    head = (
        "# Plain networks as large as one with blocks: written by benchmarks/widened_table.py, not by hand.\n"
        f"# parameters: trained ones; flops: of a forward pass of a {CANVAS}×{CANVAS} canvas.\n"
    )
    TABLE.write_text(head + yaml.safe_dump({"networks": found}, sort_keys=False, default_flow_style=None, width=120))


if __name__ == "__main__":
    main()
