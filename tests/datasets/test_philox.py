import torch

from attn_tutorial.datasets.draws import Draws, Stream, below
from attn_tutorial.datasets.philox import philox

# Known answers of the generator's authors: Random123's kat_vectors, philox4x32 10 rounds.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def test_published_vectors():
    for counter, key, words in KNOWN:
        assert tuple(philox(counter, key).tolist()) == words


def test_batched_counters_give_what_single_ones_give():
    index = torch.tensor([0, 1, 7, 2**31, 2**32 - 1])
    batched = philox((index, 3, 0, 1), (5, 6))
    assert batched.shape == (5, 4)
    for row, i in zip(batched, index.tolist(), strict=True):
        assert torch.equal(row, philox((i, 3, 0, 1), (5, 6)))


def test_words_are_uniform():
    words = philox((torch.arange(50_000), 0, 0, 0), (0, 0)).flatten()
    assert 0 <= int(words.min())
    assert int(words.max()) < 2**32
    counts = torch.bincount(below(words, 16), minlength=16).double()
    chi_squared = ((counts - 12_500) ** 2 / 12_500).sum()
    assert chi_squared < 37.7  # 99.9 % of a chi-squared with 15 degrees of freedom


def test_below_stays_in_range_and_reaches_both_ends():
    words = torch.tensor([0, 2**31, 2**32 - 1])
    assert below(words, 17).tolist() == [0, 8, 16]


def test_streams_epochs_images_and_keys_all_change_the_words():
    index = torch.tensor([4])
    base = Draws((0, 0), index, 0)(Stream.TILE)
    others = [
        Draws((0, 0), index, 0)(Stream.NOISE),
        Draws((0, 0), index, 1)(Stream.TILE),
        Draws((0, 0), index + 1, 0)(Stream.TILE),
        Draws((1, 0), index, 0)(Stream.TILE),
        Draws((0, 1), index, 0)(Stream.TILE),
    ]
    assert all(not torch.equal(base, other) for other in others)
    assert torch.equal(Draws((0, 0), index, 0).together({Stream.NOISE: 2, Stream.TILE: 3})[Stream.TILE][:, 0], base)
