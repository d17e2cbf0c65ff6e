"""A new block is one file and one line of the registry, tried in a copy of the package."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import attn_tutorial

PACKAGE = Path(attn_tutorial.__file__).parent
BLOCK = '''
import torch

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps


class StdGate(AttentionBlock):
    """Weigh each channel by its standard deviation."""

    name = "std_gate"

    def attention(self, x: Features) -> Maps:
        """Return `channel`."""
        self.check_input(x)
        return {"channel": torch.sigmoid(x.std((2, 3), correction=0, keepdim=True))}
'''
TRY = """
import json
from attn_tutorial.blocks.options import check_block
from attn_tutorial.spec import RunSpec
spec = RunSpec.parse({"data": {"name": "shapes"}, "training": {"samples": 100}, "block": "std_gate"})
import sys
without_torch = "torch" not in sys.modules
import torch
from attn_tutorial.backbones import insert_blocks, resnet
from attn_tutorial.blocks import BLOCKS, check_attention_block, build_block
checked = len(check_attention_block(build_block("std_gate", 8)))
network = resnet(8, 16, block="std_gate")
print(json.dumps({
    "versions": spec.versions(), "without_torch": without_torch, "known": "std_gate" in BLOCKS, "checked": checked,
    "slots": len(network.slots()), "inserted": insert_blocks(resnet(8, 16), "stage1.*", "std_gate"),
}))
"""


def test_a_new_block_is_one_file_and_one_line(tmp_path):
    copy = tmp_path / "attn_tutorial"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "blocks" / "std_gate.py").write_text(BLOCK)
    options = copy / "blocks" / "options.py"
    last = '    "identity": PackageBlock('
    line = '    "std_gate": PackageBlock("std_gate.StdGate", NoOptions, version=3),\n'
    text = options.read_text()
    assert text.count(last) == 1
    options.write_text(text.replace(last, line + last))
    done = subprocess.run(
        [sys.executable, "-c", TRY],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == {
        "versions": {"canvas": 1, "noise": 1, "surround": 1, "block std_gate": 3},
        "without_torch": True,
        "known": True,
        "checked": 11,
        "slots": 3,
        "inserted": ["stage1.0"],
    }
