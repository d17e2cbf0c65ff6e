"""What one run is: a `RunSpec`, frozen and validated, and the id that names it. Imports no torch."""

from attn_tutorial.spec.messages import SpecError, explain, is_number
from attn_tutorial.spec.parts import (
    SEEN,
    BackboneSpec,
    ClutterSpec,
    DataSpec,
    EvaluationSpec,
    Images,
    LookSpec,
    Part,
    RunSpec,
    TrainingSpec,
)

__all__ = [
    "SEEN",
    "BackboneSpec",
    "ClutterSpec",
    "DataSpec",
    "EvaluationSpec",
    "Images",
    "LookSpec",
    "Part",
    "RunSpec",
    "SpecError",
    "TrainingSpec",
    "explain",
    "is_number",
]
