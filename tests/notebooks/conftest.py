"""What all tests of notebooks share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _threads_as_before():
    """Pages set the number of threads; the tests behind them want their own."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
