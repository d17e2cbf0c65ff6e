"""Philox4x32-10, a counter-based random generator, in batched integer torch arithmetic.

The same counter and key give the same four words on every device, in every batch size and order, and in any language
with 32-bit words. This is what makes a canvas a pure function of (seed, split, image, epoch).

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3.
"""

import torch
from torch import Tensor

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def philox(counter: tuple[Tensor | int, Tensor | int, Tensor | int, Tensor | int], key: tuple[int, int]) -> Tensor:
    """Return four random 32-bit words for each counter.

    Args:
        counter: four words in 0..2^32-1, each an int64 tensor or an int; they broadcast to one shape.
        key: two words in 0..2^32-1.

    Returns:
        int64 tensor of the broadcast shape with a last axis of 4, each word in 0..2^32-1.

    """
    device = next((word.device for word in counter if isinstance(word, Tensor)), None)
    c0, c1, c2, c3 = torch.broadcast_tensors(
        *(word if isinstance(word, Tensor) else torch.tensor(word, device=device) for word in counter)
    )
    k0, k1 = key
    for _ in range(_ROUNDS):
        high0, low0 = _multiply(c0, _MULTIPLIERS[0])
        high1, low1 = _multiply(c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _KEY_STEPS[0]) & _WORD, (k1 + _KEY_STEPS[1]) & _WORD
    return torch.stack((c0, c1, c2, c3), dim=-1)


def _multiply(word: Tensor, constant: int) -> tuple[Tensor, Tensor]:
    # The product of two 32-bit words fills 64 bits, of which the highest is the sign. The bits are still right: the
    # shift copies the sign in from the left, and the mask removes it.
    product = word * constant
    return (product >> 32) & _WORD, product & _WORD


def below(words: Tensor, bound: Tensor | int) -> Tensor:
    """Map 32-bit words to whole numbers 0..bound-1 by a multiplication and a shift.

    For bounds up to 2^16 no value is more likely than another by more than one part in 2^16. Bounds must be less than
    2^31.
    """
    return (words * bound) >> 32
