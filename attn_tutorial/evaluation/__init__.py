"""What a trained network does: its accuracy over clutter types and severities."""

import lazy_loader

# Lazy, so that reading a ledger does not load torch.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"accuracy": ["accuracy_by_severity"], "recalibration": ["recalibrated"], "scores": ["scores"]},
)
