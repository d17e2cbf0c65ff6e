import hashlib

import torch

from attn_tutorial.clutter.layers.noise import LEVELS, noise, noise_fields
from attn_tutorial.clutter.noise_bank import FIELD_SD, FIELDS, PERIOD, noise_bank
from attn_tutorial.datasets.pixels import unpacked


def test_fields_have_the_stated_mean_and_deviation():
    fields = noise_bank().double()
    assert fields.shape == (FIELDS, PERIOD, PERIOD, 3)
    assert fields.mean((1, 2, 3)).abs().max() < 0.1
    assert (fields.std((1, 2, 3)) - FIELD_SD).abs().max() < 0.5


def test_amplitude_falls_as_one_over_frequency():
    spectrum = torch.fft.fft2(noise_bank().double().mean(-1)).abs().pow(2).mean(0).sqrt()
    frequency = torch.fft.fftfreq(PERIOD) * PERIOD
    radius = (frequency[:, None] ** 2 + frequency[None] ** 2).sqrt()
    rings = [(radius >= low) & (radius < 2 * low) for low in (1, 2, 4, 8, 16)]
    x = torch.stack([radius[ring].mean() for ring in rings]).double().log()
    y = torch.stack([spectrum[ring].mean() for ring in rings]).log()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    assert -1.1 < slope < -0.9


def test_fields_on_grey_have_the_strength_of_their_severity():
    fields = unpacked(noise_fields(torch.device("cpu")))[..., :3].view(len(LEVELS), FIELDS, PERIOD, PERIOD, 3)
    bank = noise_bank().double()
    for on_grey, sd in zip(fields.double(), LEVELS, strict=True):
        exact = (128 + bank * 255 * sd / (1000 * FIELD_SD)).clamp(0, 255)
        assert (on_grey - exact).abs().max() < 0.52  # rounded to whole levels, from strengths held to 1/4096


def test_windows_are_rolled_fields_without_a_seam():
    # Words at the top of their ranges give the last field, row and column.
    words = torch.full((1, 4), 2**32 - 1)
    for severity in (0, 5):
        window = noise(words, torch.tensor([severity]), 100)
        field = noise_fields(torch.device("cpu"))[severity * FIELDS + FIELDS - 1]
        assert torch.equal(window[0], field.roll((1, 1), (0, 1)).repeat(2, 2)[:100, :100])


def test_golden_hash():
    digest = hashlib.sha256(noise_bank().numpy().tobytes()).hexdigest()
    assert digest[:16] == "7dbebf73e60ee730"
