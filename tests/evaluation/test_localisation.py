from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from attn_tutorial.backbones import resnet
from attn_tutorial.clutter import Clutter
from attn_tutorial.evaluation import auc, cell_shares, enrichment, grad_cam, groups_of, localise, pointing
from attn_tutorial.evaluation.localisation import _grad_cam_of
from attn_tutorial.evaluation.maps import intact_pass

MEASURES = ("enrichment", "pointing", "auc")


def test_a_masks_share_of_each_cell():
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, :4, :2] = True  # half of the upper left cell of 2 × 2
    assert cell_shares(mask, 2, 2).tolist() == [[[0.5, 0.0], [0.0, 0.0]]]


def hand_made():
    """Maps of 2 × 2 cells, a mask on the upper row, and the expected measures."""
    shares = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    cases = [  # map, enrichment, pointing, auc
        ([[1.0, 1.0], [0.0, 0.0]], 2.0, 1.0, 1.0),
        ([[0.0, 0.0], [3.0, 1.0]], 0.0, 0.0, 0.0),
        ([[0.7, 0.7], [0.7, 0.7]], 1.0, 0.5, 0.5),
        ([[0.0, 0.0], [0.0, 0.0]], 1.0, 0.5, 0.5),
        ([[4.0, 0.0], [2.0, 2.0]], 1.0, 1.0, 0.5),
        ([[3.0, 2.0], [3.0, 0.0]], 1.25, 0.5, 0.625),
        ([[-1.0, 3.0], [-3.0, 3.0]], 1.0, 0.5, 0.625),
    ]
    maps, *expected = zip(*cases, strict=True)
    return torch.tensor(maps), shares.expand(len(cases), 2, 2), expected


def test_known_answers():
    maps, shares, (enriched, pointed, area) = hand_made()
    assert enrichment(maps, shares).tolist() == pytest.approx(enriched)
    assert pointing(maps, shares).tolist() == pytest.approx(pointed)
    assert auc(maps, shares).tolist() == pytest.approx(area)


def test_mass_counts_by_the_share_of_a_cell_and_places_by_half_of_it():
    maps = torch.tensor([[[1.0, 3.0, 0.0, 0.0]]])
    shares = torch.tensor([[[1.0, 0.25, 0.0, 0.0]]])
    assert enrichment(maps, shares).item() == pytest.approx((1 + 0.75) / 4 / (1.25 / 4))
    assert pointing(maps, shares).item() == 0.0, "only a quarter of the largest cell is on the mask"
    assert pointing(maps, torch.tensor([[[1.0, 0.5, 0.0, 0.0]]])).item() == 1.0


def test_auc_is_the_share_of_pairs_in_order():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(0, 5, (20, 4, 3), generator=generator).float()
    shares = torch.rand(20, 4, 3, generator=generator).double()
    for one, share, found in zip(maps, shares, auc(maps, shares), strict=True):
        on, off = one[share >= 0.5], one[share < 0.5]
        pairs = (on[:, None] > off).double() + 0.5 * (on[:, None] == off)
        assert found.item() == pytest.approx(pairs.mean().item())


def test_masks_with_all_cells_on_them_or_none():
    maps = torch.rand(3, 2, 2)
    shares = torch.stack([torch.zeros(2, 2), torch.ones(2, 2), torch.full((2, 2), 0.1)])
    assert pointing(maps, shares).isnan().all()
    assert auc(maps, shares).isnan().all()
    assert enrichment(maps, shares).isnan().tolist() == [True, False, False]
    assert enrichment(maps, shares)[1:].tolist() == pytest.approx([1.0, 1.0])


def rows_of(model, groups):
    return {(row["map"], row["mask"]): row for row in localise(model, groups)}


def visible(batch):
    return 255 * batch.visible_mask


def share_of_white(x):
    return {"spatial": (x.mean(1, keepdim=True) + 2) / 4}  # black is -2, white is 2


def test_a_gate_that_is_the_true_mask(gate_of, groups, painted):
    row = rows_of(gate_of(share_of_white), painted(groups, visible))["spatial", "tile"]
    shares = torch.cat([cell_shares(group.batch.visible_mask, 6, 6) for group in groups])
    own = (shares.square().sum((1, 2)) / shares.sum((1, 2)) / shares.mean((1, 2))).mean().item()
    assert row["enrichment"] == pytest.approx(own, abs=1e-5)  # six digits are kept
    assert enrichment(shares, shares).mean().item() == pytest.approx(own, abs=1e-6)
    assert row["enrichment"] > 1.5
    assert (row["pointing"], row["auc"]) == (1.0, 1.0)
    assert (row["slot"], row["images"], row["height"], row["width"]) == ("stage3.1", 50, 6, 6)
    assert all(row[f"{measure}_elsewhere"] < row[measure] - 0.1 for measure in MEASURES)


def test_a_gate_that_is_another_canvases_mask(gate_of, groups, painted):
    assert [len(group) for group in groups] == [50]
    painted_elsewhere = painted(groups, lambda batch: 255 * batch.visible_mask.roll(-25, 0))
    row = rows_of(gate_of(share_of_white), painted_elsewhere)["spatial", "tile"]
    assert row["pointing_elsewhere"] == row["auc_elsewhere"] == 1.0
    assert row["enrichment"] < row["enrichment_elsewhere"]


def test_a_constant_gate_prefers_nothing(gate_of, groups):
    model = gate_of(lambda x: {"spatial": x.new_full((len(x), 1, 6, 6), 0.3)})
    row = rows_of(model, groups)["spatial", "tile"]
    assert row["enrichment"] == row["enrichment_elsewhere"] == 1.0
    assert row["auc"] == 0.5
    shares = torch.cat([cell_shares(group.batch.visible_mask, 6, 6) for group in groups])
    assert row["pointing"] == pytest.approx((shares >= 0.5).double().mean().item(), abs=1e-5)


def test_a_gate_that_prefers_the_middle_does_so_elsewhere_too(gate_of, groups):
    def middle(x):
        there = torch.zeros(len(x), 1, 6, 6)
        there[:, :, 2:4, 2:4] = 1.0
        return {"spatial": there}

    row = rows_of(gate_of(middle), groups)["spatial", "tile"]
    assert row["enrichment"] > 1.5
    assert row["enrichment"] == pytest.approx(row["enrichment_elsewhere"], abs=0.05)


def test_the_object_is_compared_with_its_own_silhouette(gate_of, painted, make_images, bank):
    images = replace(make_images(50, "test"), fragments=bank, masks=torch.zeros(50, 32, 32, dtype=torch.bool))
    images.masks[:, 8:24, :12] = True
    groups = painted(groups_of(images, 50, Clutter(severity=0)), lambda batch: 255 * batch.object_mask)
    rows = rows_of(gate_of(share_of_white), groups)
    assert rows["spatial", "object"]["pointing"] == 1.0
    assert rows["spatial", "object"]["enrichment"] > rows["spatial", "tile"]["enrichment"] > 1.0


def test_an_object_smaller_than_a_cell_or_hidden_does_not_count(gate_of, make_images, bank):
    images = replace(make_images(50, "test"), fragments=bank, masks=torch.zeros(50, 32, 32, dtype=torch.bool))
    images.masks[:20, 8:24, 8:24] = True
    images.masks[20:40, 16, 16] = True
    model = gate_of(share_of_white)
    rows = rows_of(model, groups_of(images, 50, Clutter(severity=0)))
    assert rows["spatial", "object"]["images"] == 20
    images.masks[:] = False
    assert {mask for _, mask in rows_of(model, groups_of(images, 50, Clutter(severity=0)))} == {"tile"}


@pytest.mark.parametrize("options", [{"tile": "removed"}, {"canvas": 32}], ids=["removed", "covers"])
def test_a_tile_that_is_nowhere_or_everywhere_gives_no_row(gate_of, test_images, options):
    groups = groups_of(test_images, 50, Clutter(("noise",), severity=0, **options))
    assert localise(gate_of(share_of_white), groups) == []


def test_grad_cam_of_a_mean_and_a_linear_layer_is_the_classs_weights():
    torch.manual_seed(0)
    model = resnet(8, 32, stem="whiten4").eval()
    x, target = torch.randn(4, 3, 48, 48), torch.tensor([1, 5, 5, 9])
    found = grad_cam(model, x, target)
    features = model.stage3(model.stage2(model.stage1(model.stem(x))))
    weights = model.head.weight[target] / features[0, 0].numel()
    expected = functional.relu(torch.einsum("bchw,bc->bhw", features, weights))
    assert found.shape == (4, 6, 6)
    assert torch.allclose(found, expected, atol=1e-6)
    assert not found.requires_grad


def test_grad_cam_follows_the_class_that_the_network_names(groups):
    torch.manual_seed(0)
    model = resnet(8, 32, stem="whiten4").eval()
    parts = []
    with torch.no_grad():
        for group in groups:
            x = group.input()
            parts.append((grad_cam(model, x, model(x).argmax(1)), cell_shares(group.batch.visible_mask, 6, 6)))
    maps, shares = (torch.cat(each) for each in zip(*parts, strict=True))
    [row] = localise(model, groups)
    assert (row["slot"], row["map"]) == ("stage3", "grad_cam")
    assert row["auc"] == pytest.approx(auc(maps, shares).mean().item(), abs=1e-5)


@pytest.mark.parametrize("oracle", [False, True])
def test_grad_cam_needs_no_pass_of_its_own(oracle):
    torch.manual_seed(0)
    model = resnet(8, 32, stem="whiten4", oracle=oracle).eval()
    x, target = torch.rand(4, 4 if oracle else 3, 48, 48), torch.tensor([1, 5, 5, 9])
    with torch.no_grad():
        passed = intact_pass(model, x)
        found = _grad_cam_of(model, passed.last, x, target)
    torch.testing.assert_close(found, grad_cam(model, x, target))
    assert found.max() > 0
