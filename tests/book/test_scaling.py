"""Test the commands on the page about clusters: all are understood, and the ones for one machine run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from attn_tutorial.cli import main

PAGE = (Path(__file__).parents[2] / "book" / "scaling.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(words, comments=True)
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for words in re.findall(r"^(?:srun )?attn-tutorial (.*)$", block, re.MULTILINE)
]
COMMAND = [sys.executable, "-c", "from attn_tutorial.cli import main; main()"]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_are_understood(words, monkeypatch, tmp_path):
    for folder in ("runs-a", "runs-b"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)
    started = []
    for module in ("data", "network", "study"):
        monkeypatch.setattr(f"attn_tutorial.cli.{module}.start", lambda study, *where, **how: started.append(study))
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert started or "merge" in words


def test_the_study_for_one_machine_runs(tmp_path):
    pytest.importorskip("ray", reason="Ray, the extra [cluster], is not installed")
    words = next(words for words in COMMANDS if "smoke" in words)
    result = subprocess.run([*COMMAND, *words], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.glob("data/runs/*.json"))) == 1


def test_one_command_twice_on_one_folder_trains_a_run_once(tmp_path, tiny_cifar):
    words = ["train", "baseline", "--preset", "smoke", "--data", str(tiny_cifar), "--runner", "serial"]
    both = [subprocess.Popen([*COMMAND, *words], cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("another process is training it" in text for text in said) == 1
    assert len(list(tmp_path.glob("data/runs/*.json"))) == 1
    tables = [text[text.index("\nvariant") :] for text in said]
    assert tables[0] == tables[1]
