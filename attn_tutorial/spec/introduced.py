"""The value that each field of a specification had when the field was introduced. Only append to these tables.

They make the names of runs last. An id leaves out every field that has the value in this table, so a field that is
added later, with a value that means "as before", renames no run. And a record that was written before a field existed
is read with the value in this table, not with today's default, so a changed default renames no run either.

A field without a default, such as `training.samples`, is not listed: every record has it, and every id covers it.
"""

from typing import Any

from attn_tutorial.spec.paths import nested

INTRODUCED: dict[str, Any] = {
    "data.train_images": None,
    "training.batch_size": 128,
    "training.conv_optimizer": "muon",
    "training.conv_lr": 0.08,
    "training.lr": 0.05,
    "training.momentum": 0.9,
    "training.weight_decay": 0.0005,
    "training.label_smoothing": 0.1,
    "training.warmup": 0.2,
    "seed": 0,
    "backbone.depth": 8,
    "backbone.width": 32,
    "backbone.stem": "whiten4",
    "backbone.stem_trained": False,
    "backbone.widths": None,
    "block": None,
    "stages": None,
    "position": "standard",
    "clutter.types": ["fragments", "noise"],
    "clutter.severities": [0, 1, 2, 3],
    "clutter.canvas": 48,
    "clutter.feather": 0,
    "clutter.tile": "shown",
    "clutter.fragment_classes": "any",
    "clutter.background": "noise",
    "evaluation.split": "test",
    "evaluation.images": None,
    "evaluation.types": ["fragments+noise", "fragments", "noise", "mosaic", "strokes", "veil"],
    "evaluation.severities": [0, 1, 2, 3, 4, 5],
    "evaluation.recalibrated": ["fragments+noise"],
    "evaluation.look.images": 2000,
    "evaluation.look.severities": [0, 3, 5],
    "evaluation.look.localisation": True,
    "evaluation.look.lesions": True,
    "data.size": 32,
    "training.mask_loss": 0.0,
    "oracle": None,
    "training.block_lr": None,
    "backbone.pooling": "mean",
    "evaluation.secondary": [],
    "evaluation.secondary_images": 2000,
    "evaluation.look.types": None,
    "backbone.norm_gain": 1.0,
}
"""By path of the field, as JSON values."""

BLOCK_OPTIONS_INTRODUCED: dict[str, dict[str, Any]] = {
    "se": {"reduction": 16, "squeeze": "avg", "gate": "sigmoid", "bias": True, "at_start": "half"},
    "eca": {"kernel": None, "at_start": "half"},
    "channel": {"reduction": 16, "pools": "both", "bias": False, "at_start": "half"},
    "spatial": {"pools": "both", "kernel": 7, "norm": True, "at_start": "half"},
    "cbam": {
        "order": "channel-spatial",
        "reduction": 16,
        "channel_pools": "both",
        "bias": False,
        "spatial_pools": "both",
        "kernel": 7,
        "norm": True,
        "at_start": "half",
    },
    "bam": {"reduction": 16, "dilation": 4, "combine": "sum"},
    "non_local": {"pairwise": "embedded", "inner": None, "scale": "inner", "zero_init": True, "sub_sample": False},
    "global_context": {"reduction": 16, "pool": "attention", "fusion": "add", "at_start": "identity"},
    "simam": {"lam": 0.0001},
    "coordinate": {"reduction": 32, "at_start": "half"},
    "triplet": {"kernel": 7, "at_start": "half"},
    "se+spatial": {"arrangement": "sequential", "reduction": 16, "at_start": "half"},
    "se+non_local": {"arrangement": "sequential", "reduction": 16, "at_start": "half"},
    "cbam+non_local": {"arrangement": "sequential", "reduction": 16, "at_start": "half"},
    "static_gate": {"at_start": "half"},
    "random_gate": {},
    "identity": {},
}
"""By block and option, for the package's own blocks.

An option that is not listed is part of every id. So a new block needs no entry; a new option of an existing block does,
with the value that means "as before". Blocks that users register are never listed.
"""


def with_introduced(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a specification as a record has it, with the fields that did not exist when it was written."""
    complete = _completed(spec, _TREE)
    options = BLOCK_OPTIONS_INTRODUCED.get(str(complete["block"]))
    if options is not None:
        complete["block_options"] = {**options, **complete.get("block_options", {})}
    return complete


def _completed(values: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    complete = {**usual, **values}
    for name, part in usual.items():
        if isinstance(part, dict) and isinstance(given := values.get(name, {}), dict):
            complete[name] = _completed(given, part)
    return complete


_TREE = nested(INTRODUCED)  # once, because ledgers read ten thousand records at a time
