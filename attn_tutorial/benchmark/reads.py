"""How a network reads canvases: the numbers that it takes for a pixel's colours, and the side of the picture."""

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor
from torch.nn import functional as F

from attn_tutorial.spec import Part

_Number = Annotated[float, Field(allow_inf_nan=False)]
_Deviation = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Colours = tuple[_Number, _Number, _Number]
Deviations = tuple[_Deviation, _Deviation, _Deviation]


class Reads(Part):
    """How a network reads canvases.

    "uint8" gives the pixels as they are, 0 to 255. "float" gives (pixel / 255 − mean) / std, by colour, as float32.
    """

    pixels: Literal["uint8", "float"] = "uint8"
    mean: Colours = (0.0, 0.0, 0.0)
    std: Deviations = (1.0, 1.0, 1.0)
    side: Annotated[PositiveInt, Field(le=2048)] | None = None
    """Side in pixels to which canvases are resized first (bilinear, antialiased); None: they stay as they are."""

    @model_validator(mode="after")
    def _only_floats_are_normalised(self) -> Self:
        if self.pixels == "uint8" and (self.mean, self.std) != ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)):
            raise ValueError("pixels: must be 'float' where mean or std is given, but got 'uint8'")
        return self

    def __call__(self, canvas: Tensor) -> Tensor:
        """Return canvases, uint8 (B, 3, H, W), as the network's input."""
        if self.side is not None and self.side != canvas.shape[2]:
            resized = F.interpolate(canvas.float(), (self.side, self.side), mode="bilinear", antialias=True)
            canvas = resized if self.pixels == "float" else resized.round().to(torch.uint8)
        if self.pixels == "uint8":
            return canvas.contiguous()
        mean, std = (torch.tensor(each, device=canvas.device)[:, None, None] for each in (self.mean, self.std))
        return ((canvas.float() / 255 - mean) / std).contiguous()


UINT8 = Reads()
UNIT = Reads(pixels="float")
IMAGENET = Reads(pixels="float", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""What torchvision's and most of timm's networks read."""
PACKAGE = Reads(pixels="float", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
"""What this package's networks read, as `clutter.to_input` gives it."""
NAMED = {"uint8": UINT8, "0-1": UNIT, "imagenet": IMAGENET, "package": PACKAGE}
"""By the name that the command line takes."""
