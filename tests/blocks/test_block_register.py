"""Blocks of one's own: registered by a decorator, found by name everywhere, and by other processes."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from attn_tutorial.backbones import insert_blocks, resnet
from attn_tutorial.blocks import (
    BLOCK_NAMES,
    BLOCK_OPTIONS,
    BLOCK_VERSIONS,
    BLOCKS,
    AttentionBlock,
    build_block,
    register_block,
)
from attn_tutorial.errors import InputError
from attn_tutorial.spec import RunSpec

MODULE = """
from attn_tutorial.blocks import AttentionBlock, register_block

@register_block
class Half(AttentionBlock):
    name = "half"

    def __init__(self, channels, share: float = 0.5):
        super().__init__(channels, share=share)
        self.share = share

    def attention(self, x):
        self.check_input(x)
        return {"channel": x.new_full((len(x), self.channels, 1, 1), self.share)}
"""


@pytest.fixture(autouse=True)
def _package_blocks_only():
    yield
    for known in (BLOCKS, BLOCK_OPTIONS, BLOCK_VERSIONS):
        for name in set(known) - set(BLOCK_NAMES):
            del known[name]


def register():
    namespace = {}
    exec(MODULE, namespace)
    return namespace["Half"]


def test_a_registered_block_is_taken_wherever_a_name_is():
    half = register()
    x = torch.randn(2, 32, 5, 4)
    assert torch.equal(build_block("half", 32, share=0.25)(x), 0.25 * x)
    assert isinstance(resnet(8, 32, block="half").slots()["stage2.0.slot"], half)
    assert insert_blocks(resnet(8, 32), "stage1.0.norm2", "half", torch.zeros(1, 3, 32, 32)) == ["stage1.0.norm2"]
    spec = RunSpec.parse({"data": {"name": "shapes"}, "training": {"samples": 640}, "block": "half"})
    assert spec.block_options == {"share": 0.5}
    assert "half" not in BLOCK_NAMES


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shar": 0.5}, "option of block 'half' must be one of share, but got 'shar'. Did you mean 'share'"),
        ({"share": "much"}, "block 'half': share must be a valid number, but got 'much'"),
    ],
)
def test_its_options_are_its_parameters(options, message):
    register()
    with pytest.raises(ValueError, match=message):
        build_block("half", 32, **options)


def test_a_block_without_a_constructor_has_no_options():
    @register_block
    class Zero(AttentionBlock):
        name = "zero"

        def attention(self, x):
            return {"full": 0 * x}

    assert build_block("zero", 3)(torch.ones(1, 3, 2, 2)).sum() == 0
    with pytest.raises(ValueError, match="but got 'share'"):
        build_block("zero", 3, share=1)


def test_registered_again_the_new_class_counts():
    first, second = register(), register()
    assert first is not second
    assert type(build_block("half", 3)) is second


def test_a_block_has_version_1_until_its_class_says_otherwise():
    half = register()
    assert BLOCK_VERSIONS["half"] == 1
    half.version = 2
    register_block(half)
    assert BLOCK_VERSIONS["half"] == 2
    assert set(BLOCK_VERSIONS) == {*BLOCK_NAMES, "half"}


@pytest.mark.parametrize("version", ["2", 0, None])
def test_a_version_is_a_whole_number_of_at_least_1(version):
    with pytest.raises(InputError, match=f"`version` of block 'own' must be a whole number .* but got {version!r}"):
        register_block(type("Own", (AttentionBlock,), {"name": "own", "version": version}))
    assert "own" not in BLOCKS


def test_a_block_of_the_package_under_another_name_takes_its_options():
    own = register_block(type("Own", (BLOCKS["se"],), {"name": "own"}))
    assert build_block("own", 32, reduction=4).mlp[0].out_features == 8
    assert inspect.signature(own) == inspect.signature(BLOCKS["se"])


def test_the_signature_of_an_own_constructor_stays_its_own():
    assert list(inspect.signature(register()).parameters) == ["channels", "share"]


def test_names_of_the_package_and_no_name_are_refused():
    with pytest.raises(InputError, match=r"class Own has the name 'se'.*none of se, eca"):
        register_block(type("Own", (AttentionBlock,), {"name": "se"}))
    with pytest.raises(InputError, match="class Own has the name None"):
        register_block(type("Own", (BLOCKS["se"],), {}))


def test_options_need_a_type_and_a_default():
    for arguments in ("share", "share: float", "share=0.5"):
        namespace = {}
        with pytest.raises(InputError, match="option 'share' of block 'half' needs a type and a default"):
            exec(MODULE.replace("share: float = 0.5", arguments), namespace)
    assert "half" not in BLOCKS


def test_an_unknown_block_says_where_own_blocks_come_from():
    with pytest.raises(ValueError, match=r"but got 'half'.*see register_block and ATTN_TUTORIAL_PLUGINS"):
        build_block("half", 32)


@pytest.fixture
def plugin(tmp_path):
    (tmp_path / "half_block.py").write_text(MODULE)
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": path, "ATTN_TUTORIAL_PLUGINS": "half_block", "OMP_NUM_THREADS": "1"}


def run(environment, *words):
    return subprocess.run([sys.executable, *map(str, words)], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    "code",
    [
        "from attn_tutorial.blocks import check_block; print(check_block('half', {}))",
        "from attn_tutorial.blocks.options import usual_options; print(usual_options('half'))",
        "from attn_tutorial.blocks import BLOCKS; print(BLOCKS['half'](3).options)",
        "import half_block; from attn_tutorial.blocks import BLOCKS; print(BLOCKS['half'](3).options)",
    ],
)
def test_other_processes_import_the_modules_that_the_environment_names(plugin, code):
    assert run(plugin, "-c", code).stdout == "{'share': 0.5}\n"


def test_a_module_that_is_not_there_is_named(plugin):
    del plugin["PYTHONPATH"]
    result = run(plugin, "-c", "from attn_tutorial.blocks import check_block; check_block('half', {})")
    assert "ATTN_TUTORIAL_PLUGINS names the module 'half_block', which cannot be imported" in result.stderr
    assert "PYTHONPATH" in result.stderr


def test_the_command_lists_it(plugin):
    result = run(plugin, "-c", "from attn_tutorial.cli import main; main()", "blocks")
    assert re.search(r"^half +0 parameters at 64 channels +share=0.5$", result.stdout, re.MULTILINE), result.stderr


STUDY = """
import sys

from attn_tutorial.study import Study
from attn_tutorial.engine.start import start_study

if __name__ == "__main__":
    quickly = {"evaluation": {"types": ["noise"], "severities": [0], "recalibrated": []}}
    variants = {"half": {"block": "half", "block_options": {"share": 0.25}}}
    study = Study(name="own", title="Own", question="Does it run?", fixed=quickly, variants=variants)
    results, root = sys.argv[1:]
    print(start_study(study, "smoke", 2, None, results, root=root, runner="processes", workers=2)[1])
"""


def test_worker_processes_train_it(plugin, tmp_path):
    (tmp_path / "study.py").write_text(STUDY)
    result = run(plugin, tmp_path / "study.py", tmp_path / "runs", Path(__file__).parents[2] / "data")
    assert result.stdout.endswith("{'done': 2}\n"), result.stderr[-2000:]
    record = json.loads(next((tmp_path / "runs").glob("*.json")).read_text())
    assert (record["spec"]["block"], record["spec"]["block_options"]) == ("half", {"share": 0.25})
