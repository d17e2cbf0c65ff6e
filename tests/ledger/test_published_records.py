"""The published records outlive changes: each is made in a copy of the package, which then reads the records.

A changed package runs in a process of its own, because specs and registries are made when it is imported.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import attn_tutorial
from attn_tutorial.blocks.options import BLOCK_OPTIONS
from attn_tutorial.ledger import Ledger
from attn_tutorial.spec import RunSpec
from attn_tutorial.spec.introduced import BLOCK_OPTIONS_INTRODUCED, INTRODUCED

PACKAGE = Path(attn_tutorial.__file__).parent
PUBLISHED = PACKAGE.parent / "data" / "results"
STUDIES = {
    "pilot": "full-cpu",
    "clean": "full-cpu",
    "budget": "full-cpu",
    "audit-occlusion": "quick",
    "headline-occlusion": "quick",
}
"""The studies whose records were made with the first version of the package, by their presets."""
LATER = {"headline": "quick", "audit": "quick", "backgrounds": "published"}
LOOK = f"""
import json
import sys
from attn_tutorial.ledger import Ledger
from attn_tutorial.study import Study
ledger = Ledger(sys.argv[1])
records = {{record.run_id: record for record in ledger}}
images = next((record.data for record in records.values()), None)
plans = {{
    study: [ledger.get(run).run_id for run in Study.load(study).plan(preset, images) if ledger.get(run)]
    for study, preset in {STUDIES | LATER!r}.items()
}}
specs = {{name: record.spec.model_dump(mode="json") for name, record in records.items()}}
rows = {{name: len(record.accuracy) for name, record in records.items()}}
print(json.dumps({{"plans": plans, "left_out": ledger.left_out, "specs": specs, "rows": rows}}))
"""


@pytest.fixture(scope="module")
def first_records(tmp_path_factory):
    """The published records of the first version of the package, of schema 1, by themselves."""
    folder = tmp_path_factory.mktemp("first")
    for path in PUBLISHED.glob("*.json"):
        if json.loads(path.read_text())["schema_version"] == 1:
            shutil.copy(path, folder)
    return folder


@pytest.fixture
def look(first_records):
    """What a package, in the folder `package`, makes of these records."""
    return lambda package: _look(package, first_records)


def _look(package, records):
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(records)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(package), "PATH": ""},
        cwd=package,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def today(first_records):
    return _look(PACKAGE.parent, first_records)


@pytest.fixture
def change(tmp_path):
    """Changes a copy of the package, by file, pattern and replacement, as often as it is called; returns the folder."""

    def change(file, pattern, replacement):
        copy = tmp_path / "attn_tutorial"
        if not copy.exists():
            shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        text, count = re.subn(pattern, replacement, (copy / file).read_text(), count=1, flags=re.MULTILINE)
        assert count == 1, f"{pattern} is not in {file}"
        (copy / file).write_text(text)
        return tmp_path

    return change


def test_all_published_records_are_read_and_belong_to_a_study():
    found = _look(PACKAGE.parent, PUBLISHED)
    assert found["left_out"] == {}
    assert {path.stem for path in PUBLISHED.glob("*.json")} == set(found["specs"])
    assert set().union(*found["plans"].values()) == set(found["specs"])


def test_all_records_are_read_under_their_own_names(today):
    assert len(today["specs"]) == 53
    assert today["left_out"] == {}
    found = today["plans"]
    assert {study: len(ids) for study, ids in found.items()} == {
        "pilot": 30, "clean": 9, "budget": 6, "audit-occlusion": 5, "headline-occlusion": 4, "headline": 0, "audit": 0,
        "backgrounds": 0,
    }  # fmt: skip
    assert set().union(*found.values()) == set(today["specs"])
    # One training was tested twice, for the pilot and on the validation split: each plan finds its own record.
    assert "2aefad8d8cf735bb" in found["pilot"]
    assert "e96dc02442723c3c" in found["budget"]


def test_a_new_clutter_layer_renames_no_record(today, change, look):
    folder = change("clutter/names.py", r'^    "crowd": 1,$', '    "crowd": 1,\n    "fog": 1,')
    found = look(folder)
    assert found["plans"] == today["plans"]
    assert found["left_out"] == {}


def test_a_new_field_and_then_another_default_rename_no_record(today, change, look):
    change("spec/parts.py", r"^    warmup: (.*)$", r"    block_lr: PositiveFloat | None = None\n    warmup: \1")
    folder = change(
        "spec/introduced.py", r'^    "evaluation.look.lesions": True,', r'\g<0>\n    "training.block_lr": None,'
    )
    found = look(folder)
    assert found["plans"] == today["plans"]
    assert found["left_out"] == {}
    change("spec/parts.py", r"block_lr: PositiveFloat \| None = None", "block_lr: PositiveFloat | None = 0.2")
    found = look(folder)
    assert found["left_out"] == {}
    assert set(found["specs"]) == set(today["specs"])
    # What was not there when a record was written has the value that it had at first, not the new default.
    assert {spec["training"]["block_lr"] for spec in found["specs"].values()} == {None}


def test_a_changed_default_renames_no_record(today, change, look):
    folder = change("spec/parts.py", r"^(    warmup: .*) = 0.2$", r"\1 = 0.3")
    found = look(folder)
    assert found["left_out"] == {}
    assert set(found["specs"]) == set(today["specs"])
    assert {spec["training"]["warmup"] for spec in found["specs"].values()} == {0.2}
    # What the plans ask for now is another training.
    assert set().union(*found["plans"].values()) == set()


def test_another_default_of_the_test_leaves_trained_runs_where_they_are(today, change, look):
    folder = change("spec/parts.py", r"^    images: PositiveInt = 1000$", "    images: PositiveInt = 500")
    found = look(folder)
    assert found["plans"] == today["plans"]
    assert found["left_out"] == {}


def test_a_new_block_renames_no_record(today, change, look):
    line = '    "twin": PackageBlock("squeeze_excite.SE", SEOptions, version=1),'
    found = look(change("blocks/options.py", r"^PACKAGE_BLOCKS = \{$", r"\g<0>" + f"\n{line}"))
    assert found["plans"] == today["plans"]
    assert found["left_out"] == {}


def test_a_new_option_of_a_block_and_then_another_default_rename_no_record(today, change, look):
    change("blocks/options.py", r'^    squeeze: Squeeze = "avg"$', r"\g<0>\n    temperature: float = 1.0")
    folder = change("spec/introduced.py", r'"se": \{"reduction": 16', r'"se": {"temperature": 1.0, "reduction": 16')
    found = look(folder)
    assert found["plans"] == today["plans"]
    assert found["left_out"] == {}
    change("blocks/options.py", r"temperature: float = 1.0", "temperature: float = 2.0")
    found = look(folder)
    assert found["left_out"] == {}
    options = [spec["block_options"] for spec in found["specs"].values() if spec["block"] == "se"]
    assert len(options) == 7
    assert {each["temperature"] for each in options} == {1.0}


def test_a_raised_version_of_a_layer_that_was_trained_on_asks_for_another_training(today, change, look):
    found = look(change("clutter/names.py", r'"fragments": 1', '"fragments": 2'))
    trained = {name for name, spec in today["specs"].items() if any(spec["clutter"]["severities"])}
    trained &= {name for name, spec in today["specs"].items() if "fragments" in spec["clutter"]["types"]}
    assert set(found["left_out"]) == {f"{name}.json" for name in trained}
    assert set(found["left_out"].values()) == {
        "it was trained with version 1 of clutter type fragments, and this is version 2"
    }
    assert found["plans"]["clean"] == today["plans"]["clean"]
    assert found["plans"]["pilot"] == []


def test_a_raised_version_of_a_layer_that_was_tested_on_voids_these_results_only(today, change, look):
    found = look(change("clutter/names.py", r'"mosaic": 1', '"mosaic": 2'))
    assert found["left_out"] == {}
    assert found["plans"] == today["plans"]
    lost = {name: today["rows"][name] - found["rows"][name] for name in today["rows"]}
    tested = {name for name, spec in today["specs"].items() if "mosaic" in spec["evaluation"]["types"]}
    assert {name for name, count in lost.items() if count} == tested
    assert {lost[name] for name in tested} == {5}  # at severity 0 it does not show


def test_a_raised_version_of_a_block_asks_for_another_training(today, change, look):
    found = look(change("blocks/options.py", r'(^    "se": .*)version=1', r"\1version=2"))
    with_se = {name for name, spec in today["specs"].items() if spec["block"] == "se"}
    assert len(with_se) == 7
    assert set(found["left_out"]) == {f"{name}.json" for name in with_se}
    assert found["plans"]["pilot"] == [name for name in today["plans"]["pilot"] if name not in with_se]
    assert found["plans"]["budget"] == today["plans"]["budget"]


def leaves(model, path=""):
    for name, field in model.model_fields.items():
        parts = [
            part
            for part in (field.annotation, *getattr(field.annotation, "__args__", ()))
            if hasattr(part, "model_fields")
        ]
        if parts:
            yield from leaves(parts[0], f"{path}{name}.")
        elif not field.is_required() and name != "block_options":
            yield f"{path}{name}"


def test_every_field_and_every_option_has_the_value_that_it_had_at_first():
    assert set(leaves(RunSpec)) == set(INTRODUCED)
    for name, options in BLOCK_OPTIONS_INTRODUCED.items():
        assert set(options) == set(BLOCK_OPTIONS[name].model_fields), name


def test_records_of_today_have_names_that_last(tmp_path):
    """The id of a new record covers the training and not its test."""
    spec = RunSpec.parse({"data": {"name": "shapes"}, "training": {"samples": 1000}, "block": "cbam"})
    again = RunSpec.parse({**spec.model_dump(), "evaluation": {"types": ["veil"], "split": "val", "look": None}})
    assert again.run_id("a") == spec.run_id("a")
    assert spec.versions() == {"canvas": 1, "noise": 1, "surround": 1, "block cbam": 1}
    other = RunSpec.parse({**spec.model_dump(), "clutter": {"types": ["noise"]}})
    assert other.run_id("a") != spec.run_id("a")


def test_the_ledger_looks_into_old_files_once(tmp_path, monkeypatch, first_records):
    """Ten thousand records of today are not opened in the search for an old one."""
    from attn_tutorial.ledger import ledger as module

    for path in list(first_records.glob("*.json"))[:5]:
        shutil.copy(path, tmp_path)
    ledger, opened = Ledger(tmp_path), []
    read = module.read_record
    monkeypatch.setattr(module, "read_record", lambda path, *model: opened.append(path.name) or read(path, *model))
    first = len(ledger._of_schema_1())
    assert (first, len(opened)) == (5, 5)
    ledger._of_schema_1()
    assert len(opened) == 5
