"""A claim: what somebody's network reached on the benchmark, in a file that others can check without the network."""

import hashlib
import io
import operator
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

import numpy as np
from filelock import FileLock
from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    StringConstraints,
    ValidationError,
    field_validator,
)

from attn_tutorial.benchmark.reads import Reads
from attn_tutorial.benchmark.result import Result
from attn_tutorial.benchmark.testing import BACKGROUND, COMPOSITIONS, SECONDARY_IMAGES
from attn_tutorial.clutter.names import CLUTTER_TYPES, SEEN_TYPES, SEVERITIES, versions_drawn
from attn_tutorial.datasets import ImageSet
from attn_tutorial.errors import InputError, check_choice
from attn_tutorial.evaluation.names import NOT_TESTED
from attn_tutorial.ledger.answers import Answers, AnswersError
from attn_tutorial.paths import user_path
from attn_tutorial.spec import Part
from attn_tutorial.spec.messages import explain
from attn_tutorial.training.files import write_whole

ANSWERS = "answers"
"""The folder of the answers, beside the claims."""
SEEDS_WANTED = 3
"""A claim of fewer seeds says so, because one network says little about the next one."""
_TOLERANCE = 1e-9
_LONGEST_SLUG = 100
_LONGEST_MESSAGE = 1500
_SPARE_BYTES = 1 << 20
"""What answers may need beside one byte for each image and condition."""


def _in_one_line(text: str) -> str:
    if not text.isprintable():  # it could move a terminal's cursor, or break a table
        raise ValueError(f"must be one line of printable characters, but got {text!r}")
    return text


_Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_in_one_line)
]
_Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(_in_one_line)]
_Remark = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_in_one_line)]
_Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_File = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*\.npz$")]
_Share = Annotated[float, Field(ge=0, le=1)]
_Six = tuple[_Share, _Share, _Share, _Share, _Share, _Share]


class ClaimError(InputError):
    """A claim that cannot be used. The text says why, and what to do."""


class Training(Part):
    """What a network saw before the test: claims are compared with claims that saw the same."""

    types: tuple[str, ...] = ()
    """Clutter types in training; none for images without clutter."""
    severities: tuple[Annotated[int, Field(ge=0, le=5)], ...] = ()
    pretraining: _Text | None = None
    """The data that the network was trained on before, such as "ImageNet-1k"."""

    @field_validator("types")
    @classmethod
    def _types_exist(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        for name in types:
            check_choice("clutter type", name, CLUTTER_TYPES)
        if len(set(types)) < len(types):
            raise ValueError(f"must name each clutter type once, but got {', '.join(types)}")
        return types

    def label(self) -> str:
        """Return what training saw, in words."""
        if self.types:
            # In one order, so that claims with the same training are compared whatever order they name it in.
            shown = "+".join(sorted(self.types, key=[*SEEN_TYPES, *CLUTTER_TYPES].index))
            if self.severities:
                shown += f" at severities {', '.join(map(str, sorted(set(self.severities))))}"
        else:
            shown = "no clutter"
        return shown if self.pretraining is None else f"{shown}; before: {self.pretraining}"


class ClaimedImages(Part):
    """The test images of a claim. Claims with different fingerprints are never put into one table."""

    name: _Line
    source: _Remark
    fingerprint: _Hash
    size: PositiveInt
    """Side of the target in pixels."""
    canvas: PositiveInt
    """Side of the canvas in pixels."""
    count: Annotated[PositiveInt, Field(le=1_000_000)]
    """Number of test images."""


class ClaimedNetwork(Part):
    """One network of a claim, and its answers."""

    seed: NonNegativeInt
    sha256: _Hash
    answers: _File
    """Name of the file in `answers/`."""
    answers_sha256: _Hash
    accuracy: dict[str, _Six]
    """By composition of clutter types, at severities 0 to 5."""


class Claim(Part):
    """What a network reached on the benchmark. See `write_claim` and `read_claim`."""

    schema_version: Literal[1] = 1
    name: _Text
    by: _Line = ""
    link: _Line = ""
    """Where the network or its code is."""
    images: ClaimedImages
    versions: dict[str, int]
    """Versions of the canvas and of the clutter layers."""
    training: Training
    kind: Literal["module", "ONNX", "torch.export", "TorchScript"]
    """Of the network: "module", "ONNX", "torch.export" or "TorchScript"."""
    reads: Reads
    networks: Annotated[tuple[ClaimedNetwork, ...], Field(min_length=1)]
    remarks: tuple[_Remark, ...] = ()
    package: _Line
    """Version of `attn_tutorial`."""
    made_at: _Line

    @field_validator("networks")
    @classmethod
    def _seeds_differ(cls, networks: tuple[ClaimedNetwork, ...]) -> tuple[ClaimedNetwork, ...]:
        if len({each.seed for each in networks}) < len(networks):
            raise ValueError("must have a seed of its own for each network")
        if len({each.sha256 for each in networks}) < len(networks):
            raise ValueError("must be different networks, but two have the same hash")
        if len({each.answers for each in networks}) < len(networks):
            raise ValueError("must have answers of their own, but two name the same file")
        return networks

    @classmethod
    def parse(cls, values: dict[str, object]) -> Self:
        """Build a claim from plain values; raises `ClaimError` with one clear message."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ClaimError(_shortened(explain(error, cls))) from None

    def other_versions(self) -> dict[str, tuple[int | None, int]]:
        """Return, by name, the claim's and today's version of what was drawn, where these differ."""
        today = versions_of_test()
        return {name: (self.versions.get(name), new) for name, new in today.items() if self.versions.get(name) != new}


def versions_of_test() -> dict[str, int]:
    """Return today's versions of the canvas and of all layers that the benchmark draws."""
    return versions_drawn([name for types in COMPOSITIONS for name in types.split("+")], SEVERITIES)


def write_claim(
    result: Result,
    name: str,
    folder: str | Path = "data/claims",
    *,
    seeds: Sequence[int] | None = None,
    trained_on: Sequence[str] = (),
    severities: Sequence[int] = (),
    pretraining: str | None = None,
    by: str = "",
    link: str = "",
    replace: bool = False,
) -> Path:
    """Write a result as a claim: one JSON file, and the answers of each network in `answers/` beside it.

    The answers are written first and the JSON file last, each whole or not at all. A second process waits.

    Args:
        result: what `benchmark` returned, tested on all images.
        name: how the network is called in tables.
        folder: the folder of claims; made if it does not exist.
        seeds: the training seed of each network; by default 0, 1, 2, ...
        trained_on: the clutter types that training showed, such as ["surround", "noise"].
        severities: their severities in training.
        pretraining: the data of an earlier training, such as "ImageNet-1k".
        by: who claims it.
        link: where the network or its code is.
        replace: whether to replace a claim of the same name.

    Returns:
        the path of the JSON file.

    Raises:
        ClaimError: a value is not allowed, the test left images out, there is a claim of this name already, or the
            folder cannot be written.

    """
    path, numbers, training = check_claim(
        len(result.answers), name, folder, seeds, trained_on, severities, pretraining, replace
    )
    target, slug = path.parent, path.stem
    asked, tested = result.images["count"], len(next(iter(result.answers[0].labels.values())))
    if asked != tested:
        raise ClaimError(
            f"a claim must be about all {tested:,} test images, but this test used {asked:,}. Leave `count` out."
        )
    files = {f"{slug}-{seed}.npz": each.to_bytes() for seed, each in zip(numbers, result.answers, strict=True)}
    claim = Claim.parse(
        {
            "name": name,
            "by": by,
            "link": link,
            "images": result.images,
            "versions": versions_of_test(),
            "training": training,
            "kind": result.kind,
            "reads": result.reads,
            "networks": tuple(
                {
                    "seed": seed,
                    "sha256": digest,
                    "answers": file,
                    "answers_sha256": hashlib.sha256(content).hexdigest(),
                    "accuracy": accuracies_of(answers),
                }
                for seed, digest, answers, (file, content) in zip(
                    numbers, result.sha256, result.answers, files.items(), strict=True
                )
            ),
            "remarks": result.remarks,
            "package": _package_version(),
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    with _writable(target):
        (target / ANSWERS).mkdir(parents=True, exist_ok=True)
        with _alone(target / f".{slug}.lock"):
            _check_free(path, replace)
            for file, content in files.items():
                write_whole(target / ANSWERS / file, content)
            write_whole(path, (claim.model_dump_json(indent=1) + "\n").encode())
            for old in (target / ANSWERS).glob(f"{slug}-*.npz"):
                if old.name not in files and re.fullmatch(r"\d+", old.stem.removeprefix(f"{slug}-")):
                    old.unlink()  # of a claim that was replaced; answers without a claim say nothing
    return path


def check_claim(
    networks: int,
    name: str,
    folder: str | Path,
    seeds: Sequence[int] | None = None,
    trained_on: Sequence[str] = (),
    severities: Sequence[int] = (),
    pretraining: str | None = None,
    replace: bool = False,
) -> tuple[Path, list[int], Training]:
    """Check what `write_claim` would be given, before the test, and return the claim's path, seeds and training.

    Raises `ClaimError` or `SpecError` as `write_claim` does. Nothing is written.
    """
    target = user_path(folder, "claims")
    slug = re.sub(
        r"[^a-z0-9]+", "-", unicodedata.normalize("NFKD", str(name)).encode("ascii", "ignore").decode().lower()
    )
    slug = slug.strip("-")[:_LONGEST_SLUG].strip("-")  # the longest name of a file is 255 bytes
    if not slug:
        raise ClaimError(f"`name` must contain a letter or a digit, but got {name!r}.")
    path = target / f"{slug}.json"
    with _writable(target):
        _check_free(path, replace)
        for each in (target, target / ANSWERS):
            if (each.exists() or each.is_symlink()) and not each.is_dir():
                raise ClaimError(f"`folder` must be a folder that can be written, but {each} is not a folder.")
    numbers = list(range(networks)) if seeds is None else _whole_numbers("seeds", seeds)
    if len(numbers) != networks or len(set(numbers)) < networks:
        raise ClaimError(f"`seeds` must name a seed of its own for each of the {networks} networks, but got {numbers}.")
    training = Training.parse(
        {
            "types": tuple(_several("trained_on", trained_on)),
            "severities": tuple(_whole_numbers("severities", severities)),
            "pretraining": pretraining,
        }
    )
    return path, numbers, training


def _check_free(path: Path, replace: bool) -> None:
    if path.exists() and not replace:
        raise ClaimError(f"there is a claim in {path} already. Choose another name, or replace it with replace=True.")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with FileLock(lock):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: the path contains a null character
        if isinstance(error, InputError):
            raise
        place, reason = getattr(error, "filename", None) or folder, getattr(error, "strerror", None) or error
        raise ClaimError(
            f"`folder` must be a folder that can be written, but {str(place)!r} cannot be written ({reason}). Give "
            "another folder, or move what is in the way."
        ) from None


def _several(what: str, values: Any) -> list[Any]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ClaimError(f"`{what}` must be a list, such as [{values!r}], but got {values!r}.")
    return list(values)


def _whole_numbers(what: str, values: Any) -> list[int]:
    numbers = _several(what, values)
    try:
        if any(isinstance(each, bool) for each in numbers):
            raise TypeError
        return [operator.index(each) for each in numbers]  # NumPy's numbers, too
    except TypeError:
        raise ClaimError(f"`{what}` must be a list of whole numbers, such as [0, 1, 2], but got {numbers}.") from None


def read_claim(path: str | Path, images: ImageSet | None = None) -> tuple[Claim, list[Answers]]:
    """Return a claim and the answers of its networks, after checking that they belong together.

    Checked are the schema, the hash of each file of answers, and that the answers give the stated accuracies.

    Args:
        path: the JSON file.
        images: the test images. If they are the claim's own, the answers' labels are compared with theirs.

    Raises:
        ClaimError: something does not match; the message names the file and says what.

    """
    file = user_path(path, "claim")
    try:
        claim = Claim.model_validate_json(file.read_bytes())
    except ValidationError as error:
        (first, *_) = error.errors()
        broken = first["type"] == "json_invalid"  # pydantic's report would repeat the whole file
        reason = f"{first['msg']}. Write it again." if broken else explain(error, Claim)
        raise ClaimError(f"{file} is not a valid claim: {_shortened(reason)}") from None
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        raise ClaimError(f"{file} must be a claim that can be read, but is not ({reason}).") from None
    if images is not None and not isinstance(images, ImageSet):
        raise ClaimError(f"`images` must be test images that load_images returned, but got {type(images).__name__}.")
    found = []
    for network in claim.networks:
        try:
            found.append(_checked_answers(file.parent / ANSWERS / network.answers, network, claim.images, images))
        except (AnswersError, ClaimError) as error:
            raise ClaimError(f"{file}: network of seed {network.seed}: {error}") from None
    return claim, found


def read_claims(
    folder: str | Path = "data/claims", images: ImageSet | None = None
) -> tuple[list[tuple[Claim, list[Answers]]], dict[str, str]]:
    """Return all usable claims of a folder, and by file name why others are left out.

    Claims about other versions of the layers are left out, too: they are about other pixels. A folder that does not
    exist has no claims. Raises `ClaimError` if `folder` is something else than a folder.
    """
    claims, left_out = [], {}
    place = user_path(folder, "claims")
    try:
        if place.exists() and not place.is_dir():
            raise ClaimError(f"`folder` must be a folder of claims, but {place} is a file.")
        paths = sorted(place.glob("*.json"))
    except OSError as error:
        raise ClaimError(f"`folder` must be a folder that can be read, but is not ({error.strerror}).") from None
    for path in paths:
        try:
            claim, answers = read_claim(path, images)
        except ClaimError as error:
            left_out[path.name] = str(error)
            continue
        if other := claim.other_versions():
            parts = ", ".join(f"{name} {old} (today {new})" for name, (old, new) in other.items())
            left_out[path.name] = f"it is about other versions of the benchmark: {parts}. Test the network again."
        else:
            claims.append((claim, answers))
    return claims, left_out


def accuracies_of(answers: Answers) -> dict[str, _Six]:
    """Return the accuracies (0 to 1) that answers give, by composition, at severities 0 to 5."""
    shares = {
        types: tuple(answers.accuracy(("test", types, severity)) for severity in SEVERITIES) for types in COMPOSITIONS
    }
    return cast("dict[str, _Six]", shares)


def _checked_answers(path: Path, network: ClaimedNetwork, about: ClaimedImages, images: ImageSet | None) -> Answers:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ClaimError(
            f"{path.name} must be in {ANSWERS}/ beside the claim, but is not ({error.strerror})."
        ) from None
    if (digest := hashlib.sha256(content).hexdigest()) != network.answers_sha256:
        raise ClaimError(
            f"the SHA-256 of {path.name} must be {network.answers_sha256}, but is {digest}: it is another file."
        )
    _check_size(path.name, content, about.count)
    answers = Answers.from_bytes(content)
    wanted = {("test", types, severity) for types in COMPOSITIONS for severity in SEVERITIES}
    if missing := wanted - answers.predicted.keys():
        raise ClaimError(f"{path.name} must contain answers in every condition, but {len(missing)} are missing.")
    labels = answers.labels["test"]
    if len(labels) != about.count:
        raise ClaimError(f"{path.name} must be about {about.count:,} images, but is about {len(labels):,}.")
    if images is not None and images.fingerprint == about.fingerprint and labels.tolist() != images.labels.tolist():
        raise ClaimError(f"the labels in {path.name} must be those of {images.source}, but differ.")
    _check_tested(path.name, answers)
    given = accuracies_of(answers)
    if network.accuracy.keys() != given.keys():
        raise ClaimError(
            f"the claim must state accuracies for {', '.join(given)}, but has {', '.join(network.accuracy)}."
        )
    for types, stated in network.accuracy.items():
        for severity, (mine, theirs) in enumerate(zip(given[types], stated, strict=True)):
            if abs(mine - theirs) > _TOLERANCE:
                raise ClaimError(
                    f"the answers give an accuracy of {mine:.4%} on {types} at severity {severity}, but the claim "
                    f"states {theirs:.4%}."
                )
    return answers


def _check_tested(name: str, answers: Answers) -> None:
    """Raise `ClaimError` unless the tested images are the benchmark's: nobody chooses on which ones to be tested."""
    labels = answers.labels["test"]
    every, few = np.ones(len(labels), bool), np.ones(len(labels), bool)
    if len(labels) > SECONDARY_IMAGES:
        classes = np.unique(labels)
        few[:] = False
        for label in classes:
            few[np.flatnonzero(labels == label)[: SECONDARY_IMAGES // len(classes)]] = True
    for types in COMPOSITIONS:
        for severity in SEVERITIES:
            wanted = every if types in BACKGROUND or not severity else few
            tested = answers.predicted["test", types, severity] != NOT_TESTED
            if not np.array_equal(tested, wanted):
                raise ClaimError(
                    f"{name} must contain an answer to each of the {wanted.sum():,} images that the benchmark tests in "
                    f"{types} at severity {severity} and to no other one, but has {tested.sum():,} answers. Test the "
                    "network again."
                )


def _check_size(name: str, content: bytes, images: int) -> None:
    """Raise `ClaimError` if an archive is far larger than answers are, before it fills the memory."""
    most = len(COMPOSITIONS) * len(SEVERITIES) * 2 * images + _SPARE_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(each.file_size for each in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return  # `Answers.from_bytes` says what is wrong with it
    if size > most:
        raise ClaimError(f"{name} must unpack to at most {most:,} bytes for {images:,} images, but has {size:,}.")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + " …"


def _package_version() -> str:
    try:
        return version("attn-tutorial")
    except PackageNotFoundError:
        return "not installed"
