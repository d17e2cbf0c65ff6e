"""Every block as ONNX, with batch, height and width left free, run by another library."""

import onnxruntime
import torch
from torch import nn

from attn_tutorial.blocks import BLOCK_NAMES, build_block

CHANNELS = 32


class SideBySide(nn.Module):
    """All blocks on one input, so that one slow export serves them all."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        forms = [{"pairwise": form, "sub_sample": form != "dot"} for form in ("gaussian", "dot", "concat", "uniform")]
        self.names = [*BLOCK_NAMES, *(f"non_local {form['pairwise']}" for form in forms)]
        self.blocks = nn.ModuleList(build_block(name, CHANNELS) for name in BLOCK_NAMES)
        self.blocks.extend(build_block("non_local", CHANNELS, **form) for form in forms)
        for block in self.blocks:
            for parameter in block.parameters():
                nn.init.normal_(parameter, std=0.5)

    def forward(self, x):
        return tuple(block(x) for block in self.blocks)


def test_onnx_runtime_gives_what_torch_gives():
    model = SideBySide().eval()
    free = torch.export.Dim.DYNAMIC
    sizes = [(2, CHANNELS, 6, 5), (1, CHANNELS, 4, 4), (3, CHANNELS, 7, 9), (2, CHANNELS, 12, 12)]
    first, *others = [torch.randn(size) for size in sizes]
    program = torch.onnx.export(
        model, (first,), dynamo=True, dynamic_shapes=({0: free, 2: free, 3: free},), verbose=False
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    (given,) = session.get_inputs()
    for x in (first, *others):
        outputs = session.run(None, {given.name: x.numpy()})
        for name, ours, theirs in zip(model.names, model(x), outputs, strict=True):
            gap = (ours - torch.from_numpy(theirs)).abs().max() / ours.abs().max()
            assert gap < 1e-5, name
