"""What a trained network does: how accurate it is over clutter, whether it looks at the target, what its gates do."""

import lazy_loader

# Lazy, so that reading a ledger does not load torch.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "accuracy": ["accuracy_by_severity"],
        "canvases": ["Group", "Groups", "clutter_of_test", "groups_of"],
        "lesions": ["LESIONS", "harms", "mean_gates"],
        "localisation": ["auc", "cell_shares", "enrichment", "grad_cam", "localise", "pointing"],
        "look": ["evaluate"],
        "maps": ["Seen", "acting", "attention_blocks", "attention_maps"],
        "recalibration": ["recalibrated"],
        "scoring": ["scores"],
    },
)
