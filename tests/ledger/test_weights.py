"""Test that trained networks are kept beside their records, match them, and can be exported as ONNX files."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

from attn_tutorial.clutter import Clutter, to_input
from attn_tutorial.datasets import load_images
from attn_tutorial.engine import run_study
from attn_tutorial.errors import InputError
from attn_tutorial.evaluation import acting, attention_maps
from attn_tutorial.ledger import Ledger
from attn_tutorial.ledger.ledger import LedgerError
from attn_tutorial.ledger.onnx import export_networks, onnx_network
from attn_tutorial.ledger.weights import load_network, save_weights
from attn_tutorial.spec import ClutterSpec, EvaluationSpec
from attn_tutorial.training import weights_sha256


@pytest.fixture
def trained(setting, plan):
    (run,) = plan(setting, cbam={"block": "cbam", "block_options": {"reduction": 4}})
    run_study([run], setting.with_options(runner="serial"))
    ledger = Ledger(setting.results)
    return ledger, ledger.get(run.run_id)


def test_a_network_comes_back_bit_for_bit(trained):
    ledger, record = trained
    network = load_network(ledger, record)
    assert weights_sha256(network) == record.weights_sha256
    assert not network.training
    assert network(torch.zeros(1, 3, 48, 48)).shape == (1, 10)


def test_weights_that_are_not_there_or_not_those_of_the_record_are_refused(trained):
    ledger, record = trained
    path = ledger.weights_path(record.run_id)
    whole = path.read_bytes()

    def refusal(words):
        with pytest.raises(LedgerError, match=words):
            load_network(ledger, record)

    path.write_bytes(whole[: len(whole) // 2])
    refusal(rf"run {record.run_id} \(cbam, seed 0\) cannot be read from {re.escape(str(path))} .*: delete this file")
    path.write_bytes(whole)
    network = load_network(ledger, record)
    with torch.no_grad():
        next(network.parameters()).add_(1)
    save_weights(ledger, record.run_id, network)
    refusal(r"must contain the network that the record names .* but contains another one .*: delete this file")
    path.unlink()
    refusal(rf"are not in .*weights. To make them again, move {record.run_id}.json out of .*runs and run the study")


def test_a_folder_that_takes_no_weights_costs_them_and_not_the_record(setting, plan, tmp_path):
    (run,) = plan(setting, baseline={})
    elsewhere = replace(setting, results=tmp_path / "full")
    elsewhere.results.mkdir()
    (elsewhere.results / "weights").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match=f"weights of run {run.run_id} were not kept in .*weights"):
        assert run_study([run], elsewhere.with_options(runner="serial")) == {"done": 1}
    assert Ledger(elsewhere.results).get(run.run_id).status == "done"


CLASSES = [f"class {place}" for place in range(10)]


def test_an_exported_network_gives_the_logits_and_maps_of_its_record(trained, tmp_path):
    ledger, record = trained
    file, card = export_networks(ledger, [("cbam", record)], CLASSES, tmp_path / "out")
    network, model = load_network(ledger, record), onnx.load(file)
    session = onnxruntime.InferenceSession(file)
    names = [output.name for output in session.get_outputs()]
    kinds = [f"stage{stage}.0.slot.{kind}" for stage in (1, 2, 3) for kind in ("channel", "spatial")]
    assert names == ["logits", *kinds]
    for batch in (1, 3):
        canvas = torch.randint(0, 256, (batch, 3, 48, 48), dtype=torch.uint8)
        outputs = session.run(None, {"canvas": canvas.numpy()})
        with torch.no_grad():
            logits, seen = attention_maps(network, to_input(canvas))
        maps = [gate for each in seen.values() for gate in each.maps.values()]
        for ours, theirs in zip((logits, *maps), outputs, strict=True):
            torch.testing.assert_close(torch.from_numpy(theirs), ours, rtol=1e-4, atol=1e-5)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["run_id"] == record.run_id
    assert facts["weights_sha256"] == record.weights_sha256
    assert json.loads(facts["classes"]) == CLASSES
    weights = sum(tensor.numel() for tensor in network.state_dict().values())
    assert file.stat().st_size < 4 * weights + 60_000, "no more than the weights and a small graph"

    text = card.read_text()
    hardest = 100 * next(row.accuracy for row in record.accuracy if row.severity == 5)
    assert f"| {hardest:.1f} |" in text
    for word in (record.run_id, f"{file.stat().st_size:,}", record.data.source, "class 7", f"{record.parameters:,}"):
        assert word in text
    snippet = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1].replace("cbam.onnx", str(file))
    exec(snippet, found := {})
    assert found["found"]["logits"].shape == (1, 10)


@pytest.fixture
def three(setting, plan):
    """Networks without maps, with two gates in a block, and with pairwise maps, whose end is not zero any more."""
    tested = {"images": 20, "types": ["surround+noise"], "severities": [0, 5], "look": None}
    runs = plan(
        setting,
        baseline={"evaluation": {**tested, "recalibrated": ["surround+noise"]}},
        cbam={"block": "cbam", "block_options": {"reduction": 4}},
        non_local={"block": "non_local", "block_options": {"zero_init": False}, "stages": [3], "position": "post"},
    )
    run_study(runs, setting.with_options(runner="serial"))
    ledger = Ledger(setting.results)
    return ledger, [(run.variant, ledger.get(run)) for run in runs]


def test_the_maps_of_an_exported_network_can_be_swapped_and_frozen(three, tmp_path):
    ledger, named = three
    *files, card = export_networks(ledger, named, CLASSES, tmp_path / "out", gate_inputs=True)
    canvas = torch.randint(0, 256, (4, 3, 48, 48), dtype=torch.uint8)
    for file, (name, record) in zip(files, named, strict=True):
        session, network = onnxruntime.InferenceSession(file), load_network(ledger, record)
        _, *own_maps = session.get_outputs()
        assert [each.name for each in session.get_inputs()][1:] == (
            ["own", *(f"given.{each.name}" for each in own_maps)] if own_maps else []
        )
        with torch.no_grad():
            expected, seen = attention_maps(network, to_input(canvas))
        maps = {f"{slot}.{kind}": map_ for slot, each in seen.items() for kind, map_ in each.maps.items()}
        feeds = {"canvas": canvas.numpy()}
        if own_maps:
            feeds |= {f"given.{key}": map_.flip(0).contiguous().numpy() for key, map_ in maps.items()}
            feeds["own"] = torch.ones(len(maps)).numpy()
        found = session.run(None, feeds)
        for theirs, ours in zip(found, (expected, *maps.values()), strict=True):
            torch.testing.assert_close(torch.from_numpy(theirs), ours, rtol=1e-4, atol=1e-5)
        for place, key in enumerate(
            maps
        ):  # one map after the other comes from the canvas at the other end of the batch

            def swap(name, block, x, key=key, maps=maps):
                used = {kind: maps[key].flip(0) if f"{name}.{kind}" == key else map_
                        for kind, map_ in block.attention(x).items()}  # fmt: skip
                return block.apply_attention(x, used)

            with torch.no_grad(), acting(network, swap):
                swapped = network(to_input(canvas))
            assert not torch.allclose(swapped, expected, atol=1e-4), key
            feeds["own"] = torch.ones(len(maps)).numpy()
            feeds["own"][place] = 0
            found = session.run(None, feeds)
            torch.testing.assert_close(torch.from_numpy(found[0]), swapped, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(torch.from_numpy(found[1 + place]), maps[key].flip(0), rtol=1e-4, atol=1e-5)
    text = card.read_text()
    assert "Input `own`" in text
    snippet = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    for file in files:
        exec(snippet.replace("baseline.onnx", str(file)), found := {})
        assert found["found"]["logits"].shape == (1, 10)


def test_what_cannot_be_exported_says_so(trained, tmp_path, monkeypatch):
    ledger, record = trained
    failed = record.model_copy(update={"status": "failed"})
    with pytest.raises(
        LedgerError, match=f"run {record.run_id} .cbam. must be done, but is failed: there is no network"
    ):
        export_networks(ledger, [("cbam", failed)], CLASSES, tmp_path)
    with pytest.raises(InputError, match=r"networks must have different names, but got cbam, cbam"):
        export_networks(ledger, [("cbam", record)] * 2, CLASSES, tmp_path)
    for words, change in (
        ("must have the same training clutter .* but clean and other differ", {"clutter": ClutterSpec(canvas=40)}),
        ("must have .* the same tests, but clean and other differ", {"evaluation": EvaluationSpec(images=3)}),
    ):
        other = record.model_copy(update={"spec": record.spec.model_copy(update=change)})
        with pytest.raises(InputError, match=words):
            export_networks(ledger, [("clean", record), ("other", other)], CLASSES, tmp_path)
    tested = record.spec.evaluation.model_copy(update={"severities": (0,)})
    clean = record.model_copy(update={"spec": record.spec.model_copy(update={"evaluation": tested})})
    with pytest.raises(InputError, match=r"must be tested at severities above 0, but clean was tested at severity 0"):
        export_networks(ledger, [("clean", clean)], CLASSES, tmp_path)
    assert list(tmp_path.glob("*.onnx")) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--out must be a folder .* but .*file cannot be written"):
        export_networks(ledger, [("cbam", record)], CLASSES, tmp_path / "file")
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"pip install -e .*onnx"):
        onnx_network(load_network(ledger, record), 48, {})


PUBLISHED = Path(__file__).parents[2] / "data"


def published():
    """Yield each published network: its file, facts, session and record."""
    ledger = Ledger(PUBLISHED / "results")
    for file in sorted((PUBLISHED / "networks").glob("*.onnx")):
        facts = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
        yield file, facts, onnxruntime.InferenceSession(file), ledger.get(facts["run_id"])


def test_the_published_networks_are_those_of_published_records():
    names = []
    for file, facts, session, record in published():
        assert record is not None, file.name
        assert (record.weights_sha256, record.variant) == (facts["weights_sha256"], facts["variant"])
        assert file.stat().st_size <= 1_500_000
        assert {output.name for output in session.get_outputs()} > {"logits"} or file.stem == "baseline"
        assert record.run_id in (PUBLISHED / "networks" / "README.md").read_text()
        names.append(file.stem)
    assert names == ["baseline", "cbam", "non_local", "se"]


@pytest.mark.cifar
def test_the_published_networks_are_as_accurate_as_their_records_say(tmp_path):
    if not os.environ.get("ATTN_TUTORIAL_CIFAR10"):
        pytest.skip("ATTN_TUTORIAL_CIFAR10 is not set: the published networks are not tested on CIFAR-10")
    test = load_images("cifar10", "test", tmp_path).take(1000)
    batch = Clutter(("fragments", "noise"), severity=3).render(test, torch.arange(len(test)))
    for file, facts, session, record in published():
        if facts["images"] != test.source:
            pytest.skip(f"the networks were trained on {facts['images']}, but the images here are {test.source}")
        (logits,) = session.run(["logits"], {"canvas": batch.canvas.numpy()})
        found = (torch.from_numpy(logits).argmax(1) == batch.label).float().mean().item()
        [said] = [row.accuracy for row in record.accuracy if (row.types, row.severity) == ("fragments+noise", 3)]
        assert found == pytest.approx(said, abs=0.05), file.name  # 3.5 standard errors of 1,000 images
