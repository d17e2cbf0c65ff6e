import pytest
import torch
from torch import nn
from torch.optim._muon import _zeropower_via_newtonschulz

from attn_tutorial.training.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(32, 48), (48, 32), (64, 64)])
def test_orthogonalise_agrees_with_torch(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    theirs = _zeropower_via_newtonschulz(matrix, (3.4445, -4.7750, 2.0315), 3, 1e-7)
    # torch iterates in bfloat16, which has three digits.
    assert (orthogonalise(matrix, 3) - theirs.float()).abs().max() < 0.02
    singular = torch.linalg.svdvals(orthogonalise(matrix, 5))
    assert 0.6 < singular.median() < 1.3


def test_a_linear_layer_moves_as_under_torchs_muon():
    # With the weight at its fixed norm and momentum 0, only the step length's convention differs.
    torch.manual_seed(0)
    ours, theirs = nn.Linear(48, 32, bias=False), nn.Linear(48, 32, bias=False)
    with torch.no_grad():
        ours.weight.mul_(32**0.5 / ours.weight.norm())
        theirs.weight.copy_(ours.weight)
    x = torch.randn(16, 48)
    for layer, optimizer in (
        (ours, Muon(ours.parameters(), lr=0.1, momentum=0.0)),
        (
            theirs,
            torch.optim.Muon(theirs.parameters(), lr=0.1, momentum=0.0, nesterov=False, ns_steps=3, weight_decay=0.0),
        ),
    ):
        layer(x).square().sum().backward()
        optimizer.step()
    assert (ours.weight - theirs.weight).abs().max() < 0.005


def test_the_norm_is_kept_and_vectors_are_refused():
    weight = nn.Parameter(torch.randn(8, 4, 3, 3))
    optimizer = Muon([weight], lr=0.0)
    weight.grad = torch.randn_like(weight)
    optimizer.step()
    assert weight.norm().item() == pytest.approx(8**0.5, rel=1e-5)
    with pytest.raises(ValueError, match="two or more axes"):
        Muon([nn.Parameter(torch.randn(4))])
