import hashlib

import torch

from attn_tutorial.datasets.noise_bank import FIELD_SD, FIELDS, PERIOD, noise_bank, noise_windows


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


def test_windows_are_rolled_fields_without_a_seam():
    bank = noise_bank()
    window = noise_windows(48, torch.device("cpu"))[5, 40, 60]
    assert torch.equal(window, bank[5].roll((-40, -60), (0, 1))[:48, :48])


def test_golden_hash():
    digest = hashlib.sha256(noise_bank().numpy().tobytes()).hexdigest()
    assert digest[:16] == "7dbebf73e60ee730"
