"""Every mode of a PNG or JPEG file gives the right 8-bit pixels, or is refused by name."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attn_tutorial.datasets.sources.cifar10 import ImageSourceError, read_cifar10
from attn_tutorial.datasets.sources.decoding import decode_image

RNG = np.random.default_rng(0)
GREY, COLOUR = RNG.integers(0, 256, (32, 32), dtype=np.uint8), RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
OPAQUE = np.full((32, 32, 1), 255, dtype=np.uint8)
SOURCE, NAME = Path("images"), "train/cat/0003.png"
GREY_TYPE, COLOUR_TYPE, PALETTE_TYPE, GREY_ALPHA_TYPE, COLOUR_ALPHA_TYPE = 0, 2, 3, 4, 6


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(values: np.ndarray, depth: int, kind: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file of 32 rows of values with `depth` bits, written here because Pillow cannot write all of them."""
    values = values.reshape(32, -1)
    if depth == 16:
        rows = [row.astype(">u2").tobytes() for row in values]
    else:
        bits = np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., 8 - depth :]
        rows = [np.packbits(row).tobytes() for row in bits.reshape(32, -1)]
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 32, 32, depth, kind, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def saved(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


DEEP, DEEP_COLOUR = RNG.integers(0, 65536, (32, 32)), RNG.integers(0, 65536, (32, 32, 3))
DEEP_OPAQUE = np.full((32, 32, 1), 65535)
NUMBERS = {depth: RNG.integers(0, 2**depth, (32, 32)) for depth in (1, 2, 4, 8)}
PALETTE = RNG.integers(0, 256, (256, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(png(GREY, 8, GREY_TYPE), grey(GREY), id="grey"),
        pytest.param(png(COLOUR, 8, COLOUR_TYPE), COLOUR, id="colour"),
        pytest.param(png(DEEP, 16, GREY_TYPE), grey(DEEP >> 8), id="grey, 16 bits"),
        pytest.param(png(GREY.astype(int) * 257, 16, GREY_TYPE), grey(GREY), id="grey, 8 bits written with 16"),
        pytest.param(png(GREY.astype(int) * 256, 16, GREY_TYPE), grey(GREY), id="grey, 8 bits moved up"),
        pytest.param(png(GREY, 16, GREY_TYPE), np.zeros((32, 32, 3), np.uint8), id="grey, 16 bits, nearly black"),
        pytest.param(png(DEEP_COLOUR, 16, COLOUR_TYPE), DEEP_COLOUR >> 8, id="colour, 16 bits"),
        pytest.param(saved(Image.fromarray(DEEP.astype(np.uint16))), grey(DEEP >> 8), id="I;16 by Pillow"),
        *[
            pytest.param(png(NUMBERS[d], d, GREY_TYPE), grey(NUMBERS[d] * (255 // (2**d - 1))), id=f"grey, {d} bits")
            for d in (1, 2, 4)
        ],
        *[
            pytest.param(
                png(NUMBERS[d], d, PALETTE_TYPE, (b"PLTE", PALETTE[: 2**d].tobytes())),
                PALETTE[NUMBERS[d]],
                id=f"palette, {d} bits",
            )
            for d in (1, 2, 4, 8)
        ],
        pytest.param(
            png(NUMBERS[4], 8, PALETTE_TYPE, (b"PLTE", PALETTE[:20].tobytes()), (b"tRNS", b"\xff" * 16 + b"\0")),
            PALETTE[NUMBERS[4]],
            id="palette, a transparent colour that no pixel has",
        ),
        pytest.param(saved(Image.fromarray(GREY > 99)), grey((GREY > 99) * 255), id="1 by Pillow"),
        pytest.param(png(np.dstack([GREY, OPAQUE]), 8, GREY_ALPHA_TYPE), grey(GREY), id="LA"),
        pytest.param(png(np.dstack([COLOUR, OPAQUE]), 8, COLOUR_ALPHA_TYPE), COLOUR, id="RGBA"),
        pytest.param(png(np.dstack([DEEP, DEEP_OPAQUE]), 16, GREY_ALPHA_TYPE), grey(DEEP >> 8), id="LA, 16 bits"),
        pytest.param(
            png(np.dstack([DEEP_COLOUR, DEEP_OPAQUE]), 16, COLOUR_ALPHA_TYPE), DEEP_COLOUR >> 8, id="RGBA, 16 bits"
        ),
        pytest.param(
            png(COLOUR // 2, 8, COLOUR_TYPE, (b"tRNS", b"\0\xff" * 3)), COLOUR // 2, id="a key that no pixel has"
        ),
        pytest.param(saved(Image.new("CMYK", (32, 32), (255, 0, 0, 0)), "JPEG"), (0, 255, 255), id="CMYK"),
        pytest.param(saved(Image.new("L", (32, 32), 9), "JPEG"), (9, 9, 9), id="grey JPEG"),
    ],
)
def test_pixels(data: bytes, expected: np.ndarray | tuple) -> None:
    decoded = decode_image(SOURCE, NAME, data)
    assert (decoded.dtype, decoded.shape) == (np.uint8, (32, 32, 3))
    np.testing.assert_array_equal(decoded, np.broadcast_to(expected, (32, 32, 3)))


TRANSPARENT = OPAQUE.copy()
TRANSPARENT[5, 6] = 254


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(png(np.dstack([GREY, TRANSPARENT]), 8, GREY_ALPHA_TYPE), "opaque", id="LA"),
        pytest.param(png(np.dstack([COLOUR, TRANSPARENT]), 8, COLOUR_ALPHA_TYPE), "opaque", id="RGBA"),
        pytest.param(
            png(np.dstack([DEEP_COLOUR, TRANSPARENT.astype(int) * 257]), 16, COLOUR_ALPHA_TYPE), "opaque", id="RGBA, 16"
        ),
        pytest.param(
            png(NUMBERS[8], 8, PALETTE_TYPE, (b"PLTE", PALETTE.tobytes()), (b"tRNS", b"\xff" * 200 + b"\0")),
            "opaque",
            id="palette",
        ),
        pytest.param(
            png(NUMBERS[8], 8, PALETTE_TYPE, (b"PLTE", PALETTE.tobytes()), (b"tRNS", b"\x80")), "opaque", id="partly"
        ),
        pytest.param(
            png(COLOUR, 8, COLOUR_TYPE, (b"tRNS", struct.pack(">3H", *COLOUR[3, 4].tolist()))), "opaque", id="key"
        ),
        pytest.param(png(GREY, 8, GREY_TYPE, (b"tRNS", struct.pack(">H", GREY[0, 0]))), "opaque", id="grey key"),
        pytest.param(png(DEEP, 16, GREY_TYPE, (b"tRNS", struct.pack(">H", DEEP[0, 0]))), "opaque", id="grey key, 16"),
        pytest.param(png(NUMBERS[2], 2, GREY_TYPE, (b"tRNS", b"\0\1")), "opaque", id="grey key, 2"),
        pytest.param(
            png(DEEP_COLOUR, 16, COLOUR_TYPE, (b"tRNS", struct.pack(">3H", *DEEP_COLOUR[3, 4].tolist()))),
            "opaque",
            id="key, 16",
        ),
        pytest.param(
            png(NUMBERS[8], 8, PALETTE_TYPE, (b"PLTE", PALETTE[:90].tobytes())),
            "its palette has 90 colours and a pixel has number 255",
            id="palette too short",
        ),
        pytest.param(saved(Image.new("F", (32, 32), 0.5), "TIFF"), "not a readable PNG or JPEG image", id="F"),
        pytest.param(saved(Image.new("I", (32, 32), 70_000), "TIFF"), "not a readable PNG or JPEG image", id="I"),
        pytest.param(saved(Image.new("I;16", (32, 32), 700), "TIFF"), "not a readable PNG or JPEG image", id="I;16"),
    ],
)
def test_refusals_name_the_file(data: bytes, message: str, files, write, tmp_path: Path) -> None:
    with pytest.raises(ImageSourceError, match=f"train/cat/0003.png in .* .*{message}"):
        read_cifar10(write(tmp_path / "images", files | {NAME: data}))


@pytest.mark.parametrize("mode", ["F", "I", "I;16", "LAB", "HSV", "YCbCr"])
def test_no_other_mode_is_converted(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not if another Pillow gives one for a PNG file."""
    monkeypatch.setattr(Image, "open", lambda *_, **__: Image.new(mode, (32, 32)))
    with pytest.raises(ImageSourceError, match=f"cat/0003.png in images must have grey .* but has the mode {mode}"):
        decode_image(SOURCE, NAME, b"x" * 50)
