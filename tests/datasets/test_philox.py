import pytest
import torch
from scipy import stats

from attn_tutorial.clutter.draws import Draws, Stream, permutations
from attn_tutorial.datasets.philox import below, philox

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


COUNTERS = {
    "images": (torch.arange(50_000), 0, 0, 0),
    "epochs": (7, torch.arange(50_000), 0, 0),
    "things": (7, 0, torch.arange(50_000), 0),
    "high images": (torch.arange(2**32 - 50_000, 2**32), 2**32 - 1, 3, 4),
}


@pytest.mark.parametrize("counter", COUNTERS.values(), ids=COUNTERS)
@pytest.mark.parametrize("key", [(0, 0), (1, 3)], ids=str)
def test_words_are_uniform_and_follow_no_order(counter, key):
    words = philox(counter, key)
    assert 0 <= int(words.min())
    assert int(words.max()) < 2**32
    for shift in (0, 8, 16, 24):
        counts = torch.bincount(((words >> shift) & 255).flatten(), minlength=256)
        assert stats.chisquare(counts.numpy()).pvalue > 0.001
    ones = torch.stack([(words >> bit) & 1 for bit in range(32)]).double().mean((1, 2))
    assert (ones - 0.5).abs().max() < 4.5 * 0.5 / words.numel() ** 0.5
    series = words.double() / 2**32
    # Of one word along the counter, one and two steps on; of the four words of one counter; 4.5 deviations each.
    pairs = [(series[:-lag, i], series[lag:, i]) for lag in (1, 2) for i in range(4)]
    pairs += [(series[:, i], series[:, j]) for i in range(4) for j in range(i)]
    for one, other in pairs:
        correlation = torch.corrcoef(torch.stack((one, other)))[0, 1]
        assert correlation.abs() < 4.5 / len(one) ** 0.5


@pytest.mark.parametrize("bound", [2, 3, 10, 17, 100, 4500])
def test_numbers_below_a_bound_are_uniform(bound):
    words = philox((torch.arange(50_000), 0, 0, 0), (0, 0)).flatten()
    counts = torch.bincount(below(words, bound), minlength=bound)
    assert len(counts) == bound
    assert stats.chisquare(counts.numpy()).pvalue > 0.001


def test_orders_are_uniform():
    words = philox((torch.arange(24_000), 0, 0, 0), (0, 0))
    orders = permutations(words)
    assert (orders.sort(-1).values == torch.arange(4)).all()
    number = (orders * torch.tensor([64, 16, 4, 1])).sum(-1)
    counts = torch.unique(number, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts.numpy()).pvalue > 0.001


def test_below_stays_in_range_and_reaches_both_ends():
    words = torch.tensor([0, 2**31, 2**32 - 1])
    assert below(words, 17).tolist() == [0, 8, 16]


def test_streams_epochs_images_and_keys_all_change_the_words():
    index = torch.tensor([4])
    base = Draws((0, 0), index, 0)(Stream.TILE)
    others = [
        Draws((0, 0), index, 0)(Stream.ORDER),
        Draws((0, 0), index, 1)(Stream.TILE),
        Draws((0, 0), index + 1, 0)(Stream.TILE),
        Draws((1, 0), index, 0)(Stream.TILE),
        Draws((0, 1), index, 0)(Stream.TILE),
    ]
    assert all(not torch.equal(base, other) for other in others)
    assert torch.equal(Draws((0, 0), index, 0).together({Stream.ORDER: 2, Stream.TILE: 3})[Stream.TILE][:, 0], base)
