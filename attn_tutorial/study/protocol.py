"""Protocols: the rules of a study, which were fixed before its runs."""

import functools
import hashlib
from typing import Annotated, Literal, Self

import yaml
from pydantic import Field, PositiveFloat, PositiveInt

from attn_tutorial.errors import check_choice
from attn_tutorial.spec import Part
from attn_tutorial.study.files import package_files, read_package_text

_FENCE = "---\n"
_HEADING = "## "


class SeedRule(Part):
    """How many seeds a study needs."""

    first: int = Field(ge=0)
    """The first seed; the others follow it."""
    look: PositiveInt
    """After this many complete seeds the spread of the outcome decides."""
    fewer: PositiveInt
    more: PositiveInt
    """The two numbers of seeds that are possible."""


class Explanation(Part):
    """A question about the result, and the comparisons that answer it."""

    question: str
    pairs: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    """Pairs of variants: the first is compared with the second."""
    gain_must_remain: bool = False
    """Whether the answer may say that blocks keep to the target only if the gain is there in these pairs, too."""


class Protocol(Part):
    """The rules of a study: numbers, which the analysis uses, and their text, which pages show.

    Both stand in one file of this room, `protocols/<name>.md`, so that one hash covers them.
    """

    name: str
    sha256: str
    """Of the whole file. Every record of a run that was started under the protocol has it."""
    text: str
    """Markdown."""
    preset: str
    images: Literal["cifar10", "shapes"]
    """At which preset and on which images the study runs. At another scale its rules do not apply."""
    primary: list[str]
    """The variants under test, which share Holm's correction."""
    baseline: str
    """The variant that they are compared with."""
    outcome: list[str]
    """The compositions of clutter types whose mean distraction cost is the primary outcome."""
    secondary: list[str]
    """The same of the key secondary outcome."""
    margin: PositiveFloat
    """The smallest reduction of the primary outcome that matters, in points."""
    alpha: PositiveFloat
    """Level of the corrected tests."""
    pooled: list[str]
    """The variants whose spread over seeds is pooled, besides the primary ones and the baseline."""
    pooling: str
    """The variant that each block is compared with in the declared secondary contrast."""
    seeds: SeedRule
    explanations: list[Explanation]

    @property
    def sections(self) -> dict[str, str]:
        """Return the sections of the text by title."""
        parts = self.text.removeprefix(_HEADING).split(f"\n{_HEADING}")
        return {title: body.strip() for title, _, body in (part.partition("\n") for part in parts)}

    def covers(self, preset: str, images: str) -> bool:
        """Return whether runs at a preset on an image set belong to the study that the protocol is about."""
        return (preset, images) == (self.preset, self.images)

    @classmethod
    def load(cls, name: str) -> Self:
        """Return a protocol of the package by its name; raises `InputError`, which lists them, for an unknown name."""
        check_choice("protocol", name, package_files("protocols", ".md"))
        return cls._read(name)

    @classmethod
    @functools.cache
    def _read(cls, name: str) -> Self:
        content = read_package_text(f"protocols/{name}.md")
        _, numbers, text = content.split(_FENCE, maxsplit=2)
        sha256 = hashlib.sha256(content.encode()).hexdigest()
        return cls.parse({"name": name, "sha256": sha256, "text": text.strip(), **yaml.safe_load(numbers)})
