import torch

from attn_tutorial.spec import RunSpec
from attn_tutorial.training.pace import seconds_per_image


def test_a_larger_network_takes_longer_and_nothing_is_left_changed():
    def pace(depth):
        spec = RunSpec.parse(
            {"data": {"name": "shapes"}, "training": {"samples": 128}, "backbone": {"depth": depth, "width": 16}}
        )
        return seconds_per_image(spec, "cpu", batch=8, steps=3)

    state, threads = torch.get_rng_state(), torch.get_num_threads()
    small, large = pace(8), pace(32)
    assert all(0 < less < more for less, more in zip(small, large, strict=True))
    assert small[1] < small[0]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
