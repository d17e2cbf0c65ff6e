"""The page on a network of one's own: it runs under papermill as readers run it, and shows what it says."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from torch import nn

from attn_tutorial.benchmark import benchmark
from attn_tutorial.datasets import load_images

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "your_network.ipynb"


@pytest.fixture
def papermill(tmp_path):
    def run(*words):
        output = tmp_path / "out.ipynb"
        command = [sys.executable, "-m", "papermill", str(NOTEBOOK), str(output), "--no-progress-bar", *map(str, words)]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        return result, nbformat.read(output, 4)

    return run


def shown(notebook, kind):
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(output.get("text", "") or output.get("data", {}).get(kind, "") for output in outputs)


def files():
    return {path for folder in ("notebooks", "data/claims") for path in (ROOT / folder).rglob("*")}


def captions(notebook):
    return re.findall(r"<figcaption>(.*?)</figcaption>", shown(notebook, "text/html"))


def test_both_networks_are_tested_and_a_changed_claim_is_found(papermill, tiny_cifar):
    before = files()
    result, notebook = papermill("-p", "data", tiny_cifar, "-p", "images", 20)
    assert result.returncode == 0, result.stderr[-2000:]
    about = "20 test images; CIFAR-10"
    found = captions(notebook)
    assert len(found) == 4
    for (accuracies, costs), network in zip(
        (found[:2], found[2:]),
        ("ResNet-18, random weights", "The pilot&#x27;s baseline, one network, targets of 32 px"),
        strict=True,
    ):
        assert accuracies.startswith(f"Accuracy in %, by severity. {network}; {about}")
        assert costs.startswith("Distraction cost in points, with 95 % intervals over images; accuracies in %.")
        assert network in costs
    spoken = shown(notebook, "text/markdown")
    assert re.search(r"this network names [\d. to]+ % of the images correctly; chance is 10 %", spoken)
    assert re.search(r"Its unseen cost is -?[\d.]+ \[-?[\d.]+, -?[\d.]+\] points", spoken)
    assert "was not tested here" not in spoken

    text = shown(notebook, "text/plain")
    assert "name: Mean colours\nby: A reader\n" in text
    (stated,) = re.findall(r"first network, accuracy on mosaic: \[.*, ([\d.]+)\]", text)
    (counted, claimed) = re.findall(
        r"^mean-colours.json: network of seed 0: the answers give an accuracy of ([\d.]+)% on mosaic at severity 5, "
        r"but the claim states ([\d.]+)%\.$",
        text,
        re.MULTILINE,
    )[0]
    assert float(counted) == pytest.approx(100 * float(stated))
    assert float(claimed) == pytest.approx(100 * float(stated) + 10)
    assert "but returned (8, 1000). Train a head for these classes first." in text
    assert "must return finite logits, but 8 of 8 canvases" in text
    assert "It does not give the same logits twice: 3 tests on surround+noise" in text
    assert files() == before


class Colours(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.last = nn.Linear(3, 10)

    def forward(self, x):
        return self.last(x.float().mean((2, 3)))


def test_without_cifar_the_page_says_what_is_missing_and_shows_a_folders_claims(papermill, tmp_path):
    small = load_images("shapes", "test", ROOT / "data", size=24).take(50)
    claims = tmp_path / "claims"
    benchmark(Colours(), small, progress=False).claim("Mine", claims)
    (claims / "broken.json").write_text("{")
    result, notebook = papermill("-p", "data", "shapes", "-p", "images", 10, "-p", "claims", claims)
    assert result.returncode == 0, result.stderr[-2000:]
    spoken = shown(notebook, "text/markdown")
    assert "This network was not tested here.** It knows the classes of CIFAR-10, but these images are shapes" in spoken
    table, left_out = captions(notebook)[2:]
    assert table.startswith("Training: no clutter.")
    assert left_out == "Claims that are left out, and why."
    page = shown(notebook, "text/html")
    assert '<th scope="row">Mine</th>' in page
    assert "<td>broken.json</td>" in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("imagess", 20), "'imagess' is not a parameter of this notebook. Did you mean 'images'?"),
        (("images", 25), "`images` must be a multiple of 10, such as 50, but got 25."),
        (("claims", "nowhere"), "`claims` must be a folder with claims, but got 'nowhere'."),
    ],
)
def test_a_wrong_parameter_stops_the_page(papermill, words, message):
    result, _ = papermill("-p", *words)
    assert result.returncode != 0
    assert message in result.stderr
