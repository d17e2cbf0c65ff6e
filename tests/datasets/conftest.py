"""CIFAR-10 itself, which the tests of several files decode only once."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not os.environ.get("ATTN_TUTORIAL_CIFAR10"):
        pytest.skip("ATTN_TUTORIAL_CIFAR10 is not set: CIFAR-10 itself is not tested")
    return tmp_path_factory.mktemp("real")
