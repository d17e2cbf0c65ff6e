"""`~` is the home folder wherever a path can be given, and a home folder that is not known gets a message."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import click
import pandas as pd
import pytest
from click.testing import CliRunner

from attn_tutorial.audit import report
from attn_tutorial.cli import main
from attn_tutorial.cli.options import UserPath
from attn_tutorial.clutter import Clutter, export_canvases
from attn_tutorial.datasets import store
from attn_tutorial.datasets.sources import fetch
from attn_tutorial.datasets.store import available_cifar10
from attn_tutorial.engine import images, start
from attn_tutorial.engine.estimate import Speeds
from attn_tutorial.engine.images import prepare_images
from attn_tutorial.engine.setting import Setting
from attn_tutorial.errors import InputError
from attn_tutorial.figures import severity_choice
from attn_tutorial.ledger import Ledger, onnx
from attn_tutorial.ledger.merge import merge
from attn_tutorial.ledger.table_files import write_table
from attn_tutorial.pages import block_results
from attn_tutorial.paths import user_path
from attn_tutorial.study import Study

UNKNOWN = "~nobody_xyz"
PROJECT = Path(__file__).resolve().parents[1]


class Found(Exception):
    """Carries the path that a function got as far as using."""


def _stop(position=0):
    """Make a function that stops its caller and says which path it was given."""

    def stopped(*words, **more):
        raise Found(str(words[position]))

    return stopped


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Make a home folder, and another folder as the current one."""
    home, here = tmp_path / "home", tmp_path / "here"
    for folder in (home, here):
        folder.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv(store.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.chdir(here)
    yield home
    assert not list(here.iterdir()), "something was written beside the home folder"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("~", "HOME"),
        ("~/runs", "HOME/runs"),
        (Path("~/runs"), "HOME/runs"),
        ("~root", os.path.expanduser("~root")),
        ("runs", "runs"),
        (".", "."),
        ("runs/~", "runs/~"),
        ("/data/~/runs", "/data/~/runs"),
        ("./~/runs", "HERE/~/runs"),
    ],
)
def test_a_path_is_expanded_once(home, given, expected):
    expected = expected.replace("HOME", str(home)).replace("HERE", str(Path.cwd()))
    assert user_path(given) == Path(expected)
    assert user_path(user_path(given)) == Path(expected)


def test_what_cannot_be_a_path_is_named():
    with pytest.raises(
        InputError, match=r"`results` must be a path, but got ~nobody_xyz/runs, .*home folder ~nobody_xyz "
    ):
        user_path(f"{UNKNOWN}/runs", "results")
    with pytest.raises(InputError, match=r"`results` must be a path, but got an empty text"):
        user_path("", "results")
    assert user_path(f"./{UNKNOWN}") == Path.cwd() / UNKNOWN


def _setting(**paths):
    return Setting(
        "headline", "smoke", None, **{"root": Path("data"), "source": None, "results": Path("runs"), **paths}
    )


def _from_environment(given, patch):
    patch.setenv(store.ENVIRONMENT_VARIABLE, given)
    return available_cifar10("data")


def _with(module, name, stop, call):
    """Return a call that ends where a function of a module is called, which gives its path."""

    def patched(given, patch):
        patch.setattr(module, name, stop)
        return call(given)

    return patched


def _merge(given, patch):
    Path.home().joinpath("x/train").mkdir(parents=True, exist_ok=True)
    merge([Path(given)], Path("~/into"))
    assert Path("~/into").expanduser().is_dir()
    return user_path(given)


def _merge_into(given, patch):
    merge([], Path(given))
    assert Path.home().joinpath("x").is_dir()
    return user_path(given)


def _table(given, patch):
    write_table(pd.DataFrame({"a": [1]}), Path(given) / "table.csv")
    return next(Path.home().joinpath("x").glob("table.csv")).parent


def _study(given, patch):
    file = Path.home() / "x" / "own.yaml"
    file.write_text("title: t\nquestion: q\nvariants: {baseline: {}, se: {block: se}}\n")
    assert Study.load(f"{given}/own.yaml").name == "own"
    return file.parent


def _reports(given, patch):
    (Path.home() / "x" / "audit-smoke-1.yaml").write_text("- no report")
    patch.setattr(report, "_read", _stop())
    try:
        return report.read_reports(given)
    except Found as found:
        return Path(str(found)).parent


def _start_study(name):
    def call(given, patch):
        patch.setattr(start, "prepare_images", lambda data, root, preset: (SimpleNamespace(name="shapes"), None))
        patch.setattr(start.Study, "plan", lambda *words: [])
        patch.setattr(start, "run_study", lambda runs, setting: {"used": getattr(setting, name)})
        return start.start_study("headline", "smoke", **{name: given})[1]["used"]

    return call


CALLS = {
    "Ledger": lambda given, patch: Ledger(given).folder,
    "Setting, root": lambda given, patch: _setting(root=Path(given)).root,
    "Setting, source": lambda given, patch: _setting(source=Path(given)).source,
    "Setting, results": lambda given, patch: _setting(results=Path(given)).results,
    "start_study, results": _start_study("results"),
    "start_study, root": _start_study("root"),
    "Speeds": lambda given, patch: Speeds(Path(given)).path.parents[2],
    "prepare_images": _with(images, "prepare", _stop(2), lambda given: prepare_images(given, Path("data"))),
    "available_cifar10, source": lambda given, patch: available_cifar10("data", given),
    "available_cifar10, root": lambda given, patch: available_cifar10(given).parent,
    "available_cifar10, environment": _from_environment,
    "load_images, root": _with(
        store, "_kept", _stop(), lambda given: Path(str(_caught(lambda: store.prepare("shapes", given)))).parents[2]
    ),
    "fetch_cifar10": _with(fetch, "_is_whole", lambda file: True, lambda given: fetch.fetch_cifar10(given).parents[1]),
    "merge, source": _merge,
    "merge, into": _merge_into,
    "write_table": _table,
    "a study's file": _study,
    "read_reports": _reports,
    "run_audit, root": _with(
        report, "prepare_images", _stop(1), lambda given: report.run_audit("smoke", None, Path(given), Path("runs"))
    ),
    "run_audit, results": _with(
        report, "prepare_images", lambda *words: (None, None), lambda given: _audited(Path(given))
    ),
    "export_networks": _with(onnx, "_check_alike", lambda named: None, lambda given: _networks(Path(given))),
    "read_candidates": _with(
        severity_choice.pd, "read_csv", _stop(), lambda given: severity_choice.read_candidates(Path(given))
    ),
    "show_block_results": _with(
        block_results, "Ledger", _stop(), lambda given: block_results.show_block_results(("se",), Path(given))
    ),
}


def _caught(call):
    try:
        call()
    except Found as found:
        return found


def _audited(results):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "Ledger", _stop())
        return report.run_audit("smoke", None, Path("data"), results)


def _networks(out):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx, "model_card", lambda *words: "card")
        return onnx.export_networks(Ledger("runs"), [], (), out)[0].parent


@pytest.mark.parametrize("name", CALLS)
def test_every_function_expands_a_path_and_refuses_an_unknown_home(home, monkeypatch, name):
    (home / "x" / "raw" / "train").mkdir(parents=True)
    (home / "x" / "train").mkdir()

    def used(given):
        try:
            return str(CALLS[name](given, monkeypatch))
        except Found as found:
            return str(found)

    assert used("~/x").startswith(str(home / "x"))
    with pytest.raises(
        InputError, match=rf"must be a path, but got {UNKNOWN}/x.*, and the home folder {UNKNOWN} is not"
    ):
        used(f"{UNKNOWN}/x")


def test_exported_canvases_go_to_the_home_folder(home, train):
    assert export_canvases(train.take(10), Clutter(severity=0), "~/canvases") == home / "canvases"
    assert (home / "canvases" / "canvases.npz").is_file()


@pytest.mark.parametrize("name", ["results", "root"])
def test_a_study_refuses_an_unknown_home_before_it_prepares_images(monkeypatch, name):
    monkeypatch.setattr(start, "prepare_images", _stop())
    with pytest.raises(InputError, match=f"`{name}` must be a path, but got {UNKNOWN}"):
        start.start_study("headline", "smoke", **{name: UNKNOWN})


def test_a_folder_is_not_merged_into_itself_by_another_name(home):
    with pytest.raises(InputError, match="cannot be merged into itself"):
        merge([home], Path("~"))


def test_the_message_about_missing_images_names_the_folder(home):
    with pytest.raises(InputError, match=f"No CIFAR-10 was found in {home}/x/raw"):
        store.prepare("cifar10", "~/x")


def _paths_of(command, names=()):
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            yield " ".join([*names, parameter.name]), parameter.type
    for name, inner in getattr(command, "commands", {}).items():
        yield from _paths_of(inner, (*names, name))


def test_every_path_on_the_command_line_is_expanded():
    found = dict(_paths_of(main))
    assert {"data preview out", "data export out", "study run results", "study merge sources", "train root"} <= set(
        found
    )
    assert [name for name, kind in found.items() if not isinstance(kind, UserPath)] == []


@pytest.mark.parametrize("option", ["--results", "--root"])
def test_the_command_line_uses_the_home_folder(home, option):
    words = ["study", "table", "headline", "--preset", "smoke", "--data", "~/none.tar", option, "~/x"]
    assert f"{home}/none.tar does not exist" in CliRunner().invoke(main, words).output
    words[-1] = f"{UNKNOWN}/x"
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.output
    assert f"the home folder {UNKNOWN} is not known here" in result.output


def test_a_file_to_write_cannot_be_an_empty_text():
    result = CliRunner().invoke(main, ["data", "preview", "--out", ""])
    assert result.exit_code == 2
    assert "it must be a file, but got an empty text. Leave the option out" in result.output


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(("data", "expected"), [("~/x", "~/x"), ("/x", "/x"), ("x", f"{PROJECT}/x")])
def test_make_leaves_the_home_folder_to_the_package(data, expected):
    words = ["make", "-C", str(PROJECT), "-pn", "help", f"DATA={data}"]
    found = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert f"{store.ENVIRONMENT_VARIABLE} := {expected}\n" in found


def test_the_book_looks_for_images_in_the_home_folder(home, monkeypatch):
    monkeypatch.setenv(store.ENVIRONMENT_VARIABLE, "~/x")
    (home / "x").mkdir()
    spec = importlib.util.spec_from_file_location("notebook_inputs", PROJECT / "book" / "_ext" / "notebook_inputs.py")
    inputs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(inputs)
    assert list(inputs._image_sources(PROJECT)) == [home / "x"]
