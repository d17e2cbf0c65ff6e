"""Commands that only plan must not wait for torch."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "statement",
    [
        "import attn_tutorial.study",
        "from attn_tutorial.cli import main; main(['study', 'list'], standalone_mode=False)",
        "from attn_tutorial.study import Study; from attn_tutorial.spec import Images;"
        "Study.load('headline').plan('quick', Images(name='shapes', source='', fingerprint='', archive_sha256=None))",
    ],
)
def test_torch_is_not_loaded(statement):
    code = f"import sys\n{statement}\nassert 'torch' not in sys.modules, 'torch was loaded'"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
