"""Pixels as 32-bit words: red, green, blue and a padding byte, so that a pixel moves in one piece."""

import torch
from torch import Tensor
from torch.nn import functional


def padded(images: Tensor) -> Tensor:
    """Return uint8 images (N, H, W, 3) as a view of storage with four bytes a pixel, copied unless they are one."""
    count, height, width, _ = images.shape
    # The last pixel's fourth byte must exist, too: a view of pictures with four channels may end before it.
    end = images.storage_offset() + count * height * width * 4
    if images.stride() == (height * width * 4, width * 4, 4, 1) and end <= images.untyped_storage().nbytes():
        return images
    return functional.pad(images, (0, 1))[..., :3]


def packed(images: Tensor) -> Tensor:
    """Return uint8 images (N, H, W, 3) as words, int32 (N, H, W); without a copy if they are padded."""
    if images.stride(2) != 4:  # `padded` needs the storage's size, which a compiled graph cannot read
        images = padded(images)
    count, height, width, _ = images.shape
    return images.as_strided((count, height, width, 4), images.stride()).view(torch.int32).squeeze(-1)


def unpacked(words: Tensor) -> Tensor:
    """Return words, int32 (B, H, W), as bytes, uint8 (B, H, W, 4), without a copy."""
    return words.view(torch.uint8).view(*words.shape, 4)
