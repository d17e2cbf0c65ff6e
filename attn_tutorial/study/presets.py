"""Presets: the scale at which a study runs."""

import functools
from typing import Any, Literal, Self

from pydantic import Field, PositiveInt

from attn_tutorial.errors import check_choice
from attn_tutorial.spec import BackboneSpec, ClutterSpec, Part
from attn_tutorial.study.files import read_package_file


class Preset(Part):
    """The scale of a study: its images, backbones, length of training and number of seeds."""

    description: str
    data: Literal["auto", "cifar10", "shapes"]
    """The images to use if the user names none."""
    seeds: PositiveInt
    samples: dict[Literal["cifar10", "shapes"], PositiveInt]
    """How many images training sees, counting repeats, by image set."""
    train_images: PositiveInt | None = None
    test_images: PositiveInt | None = None
    secondary_images: PositiveInt = 2000
    """See `EvaluationSpec`."""
    look_images: PositiveInt = 1000
    """How many test images lesions and localisation are measured on."""
    backbones: list[BackboneSpec] = Field(default_factory=lambda: [BackboneSpec()], min_length=1)
    """Every variant is trained in each of them. Results in different backbones are never pooled."""
    size: int = 24
    """Side of the target in pixels, see `DataSpec.size`; with the canvas of `clutter` it makes the geometry."""
    clutter: ClutterSpec = ClutterSpec()
    recipe: dict[str, Any] = Field(default_factory=dict)
    """The fields of `TrainingSpec` that differ from their defaults."""

    @classmethod
    def load(cls, name: str) -> Self:
        """Return the preset called `name`; raises `InputError`, which lists the presets, for an unknown name."""
        presets = _presets()
        check_choice("preset", name, presets)
        return cls.parse(presets[name])

    def run_fields(self, images: str) -> list[dict[str, Any]]:
        """Return the fields of `RunSpec` that the preset sets on an image set, one dict for each backbone."""
        return [
            {
                "data": {"name": images, "train_images": self.train_images, "size": self.size},
                "training": {"samples": self.samples[images], **self.recipe},  # type: ignore[index]
                "clutter": self.clutter.model_dump(),
                "evaluation": {
                    "images": self.test_images,
                    "secondary_images": self.secondary_images,
                    "look": {"images": self.look_images},
                },
                "backbone": backbone.model_dump(),
            }
            for backbone in self.backbones
        ]


def preset_names() -> list[str]:
    """Return the names of the presets, from the smallest scale to the largest."""
    return list(_presets())


@functools.cache
def _presets() -> dict[str, dict[str, Any]]:
    return read_package_file("presets.yaml")
