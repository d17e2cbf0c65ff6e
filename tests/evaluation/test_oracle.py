"""Tests of networks that are told where the target is."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from attn_tutorial.backbones import resnet
from attn_tutorial.clutter import Clutter, to_input
from attn_tutorial.evaluation import accuracy_by_severity, evaluate, groups_of, harms, localise, mean_gates
from attn_tutorial.evaluation.lesions import possible_lesions
from attn_tutorial.spec import RunSpec
from attn_tutorial.training import build_model, fit, network_input

ORACLES = ("gate", "wrong_gate")


def make_spec(oracle, block=None, clutter=None, block_options=None, **evaluation):
    about = {"block": block, "block_options": block_options or {}} if block else {}
    return RunSpec.parse(
        {
            "data": {"name": "shapes"},
            "training": {"samples": 64, "batch_size": 16},
            "backbone": {"depth": 8, "width": 16, "stem": "whiten4"},
            "oracle": oracle,
            "clutter": clutter or {},
            "evaluation": {"images": 20, "look": {"images": 20, "severities": [5]}, **evaluation},
            **about,
        }
    )


class AveragesUnderTheMask(nn.Module):
    """Reads the label from the mean brightness under the mask that it is given."""

    def forward(self, x):
        assert x.shape[1] == 4
        mask = x[:, 3:]
        assert ((mask == 0) | (mask == 1)).all()
        level = (x[:, :3].mean(1, keepdim=True) * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3))
        return nn.functional.one_hot((((level + 2) * 63.75) / 25).round().long().clamp(0, 9), 10).float()


@pytest.fixture
def plain_colours(test_images, train, bank):
    """Every image has the grey of its class, 25 apart; so have distractors."""
    for images in (test_images, train, bank):
        images.images[:] = (images.labels * 25).to(torch.uint8)[:, None, None, None]
    return test_images


def test_known_answers(plain_colours, train):
    types = {"types": ["fragments", "mosaic"], "recalibrated": ["fragments"], "severities": [0, 5], "images": 50}
    for row in accuracy_by_severity(AveragesUnderTheMask(), make_spec("gate", **types), plain_colours, train):
        assert row["accuracy"] == 1.0
        assert row["recalibrated"] in (1.0, None)
    for row in accuracy_by_severity(AveragesUnderTheMask(), make_spec("wrong_gate", **types), plain_colours, train):
        assert row["accuracy"] < 0.9


@pytest.mark.parametrize("oracle", [None, *ORACLES])
def test_the_input_of_a_group(test_images, oracle):
    for group in groups_of(test_images, 50, Clutter(severity=3), oracle=oracle):
        expected = network_input(to_input(group.batch.canvas), group.batch.visible_mask, oracle)
        assert torch.equal(group.input(), expected)
        assert expected.shape[1] == (4 if oracle else 3)


@pytest.mark.parametrize("block", [None, "cbam", "non_local"])
@pytest.mark.parametrize("oracle", ORACLES)
def test_a_trained_control_is_tested_in_full(test_images, train, oracle, block):
    spec = make_spec(oracle, block)
    found = evaluate(fit(spec, train).model, spec, test_images, train)
    assert len(found["accuracy"]) == len(spec.evaluation.types) * 6
    assert found["localisation"][-1]["map"] == "grad_cam"
    looked = {(row["types"], row["severity"]) for row in found["localisation"]}
    assert len(found["lesions"]) == {None: 0, "cbam": 1 + 5 + 7, "non_local": 1 + 5}[block] * len(looked)
    json.dumps({**found, "answers": None}, allow_nan=False)


def test_a_control_with_a_removed_target_is_tested(test_images, train):
    spec = make_spec("gate", clutter={"tile": "removed"})
    model = fit(spec, train).model
    found = evaluate(model, spec, test_images, train)
    assert {row["accuracy"] for row in found["accuracy"]} == {0.1}, "its logits are the head's bias"
    assert (found["localisation"], found["lesions"]) == ([], [])


def test_a_map_after_the_gate_lies_on_the_mask_that_was_given(test_images):
    """Grad-CAM is measured on the target's own mask, whatever the network was told."""
    torch.manual_seed(0)
    model = resnet(8, 16, oracle=True).eval()
    clutter = Clutter(("noise",), 0, canvas=96)

    def enrichment(oracle):
        return localise(model, groups_of(test_images, 50, clutter, oracle=oracle))[0]["enrichment"]

    chance_at_best = 96**2 / 32**2
    assert enrichment("gate") > 0.6 * chance_at_best
    assert enrichment("wrong_gate") < 0.5 * enrichment("gate")


def test_lesions_of_an_oracle_keep_its_masks(test_images, train):
    """Gates that are still 1 do nothing, so no lesion of them may change anything."""
    spec = make_spec("gate", "cbam", block_options={"at_start": "identity"})
    model = build_model(spec, train).eval()
    test, others = (groups_of(images, 40, Clutter(severity=3), oracle="gate") for images in (test_images, train))
    rows = harms(model, test, others)
    assert [row["lesion"] for row in rows] == ["none", *possible_lesions(mean_gates(model, others))]
    assert {(row["accuracy"], row["harm"]) for row in rows} == {(rows[0]["accuracy"], 0.0)}


@pytest.mark.parametrize("images", [1, 20])
def test_a_wrong_oracle_needs_company(test_images, train, images):
    spec = make_spec("wrong_gate", look=None)
    test = replace(
        test_images,
        images=test_images.images[:images],
        labels=test_images.labels[:images],
        index=test_images.index[:images],
    )
    spec = RunSpec.parse({**spec.model_dump(), "evaluation": {**spec.evaluation.model_dump(), "images": None}})
    model = build_model(spec, train)
    if images > 1:
        assert accuracy_by_severity(model, spec, test, train)
        return
    with pytest.raises(ValueError, match="another canvas in the batch"):
        accuracy_by_severity(model, spec, test, train)
