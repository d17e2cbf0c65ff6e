"""How runs are carried out: the options that the command line, the notebooks and the runners share."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, ValidationError, field_validator, model_validator

from attn_tutorial.spec import Part, SpecError
from attn_tutorial.spec.messages import sentences
from attn_tutorial.training.names import DEVICES, numbered_gpu_hint


class RunOptions(Part):
    """How runs are carried out. None of this changes what a run is, so none of it is part of a run's id."""

    runner: Literal["auto", "serial", "processes", "ray"] = Field(
        default="auto",
        description="serial: one run after the other; processes: several at a time on this machine; ray: on a Ray "
        "cluster; auto: processes on a CPU with several cores, else serial.",
    )
    workers: PositiveInt | None = Field(
        default=None,
        description="Runs at a time. By default one for each core; with Ray as many as there is room for.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="Where to compute. auto: the first of cuda, mps and cpu that is there."
    )
    address: str = Field(
        default="", description="Of a Ray cluster, such as 10.0.0.1:6379, or auto. By default Ray starts here."
    )
    gpus_per_run: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="With Ray, the share of a GPU that a run takes: 0.25 lets four runs share one. 1 by default.",
    )
    checkpoint_every: Annotated[float, Field(ge=0)] = Field(default=60.0, description="Seconds between checkpoints.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Of training. auto: bfloat16 where the device has instructions for it, else float32.",
    )
    mixed_precision: bool = Field(
        default=False,
        description="Also train runs of seeds that were begun in another precision. Only studies with a protocol "
        "leave them out.",
    )

    @field_validator("device", mode="before")
    @classmethod
    def _is_not_numbered(cls, device: object) -> object:
        if hint := numbered_gpu_hint(device):
            raise ValueError(f"device: must be one of {', '.join(DEVICES)}, but got {device!r}. {hint}")
        return device

    @field_validator("checkpoint_every")
    @classmethod
    def _is_finite(cls, seconds: float) -> float:
        if not math.isfinite(seconds):
            raise ValueError(f"checkpoint_every: must be a number of seconds of at least 0, but got {seconds}")
        return seconds

    @model_validator(mode="after")
    def _ray_has_options_of_its_own(self) -> Self:
        for name in ("address", "gpus_per_run"):
            if (given := getattr(self, name)) and self.runner != "ray":
                raise ValueError(
                    f"{name}: must be left out unless runner is 'ray', but got {given!r} with runner {self.runner!r}"
                )
        return self

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Build options from a plain dict; raises `SpecError` with one clear message."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SpecError("; ".join(sentences(error, cls))) from None
