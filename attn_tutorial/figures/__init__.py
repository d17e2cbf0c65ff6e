"""Figures and tables, drawn in one style from the ledger's frames and from canvases."""

import lazy_loader

# Lazy, so that printing a table does not load matplotlib.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "canvases": ["draw_canvas", "severity_grid"],
        "clutter_sheet": ["feather_sheet", "type_sheet"],
        "curves": ["describe_learning_curves", "describe_severity_curves", "learning_curves", "severity_curves"],
        "rates": ["describe_rate_curves", "rate_curves"],
        "style": ["palette", "show", "show_table"],
        "tables": ["accuracy_table", "difference_table", "run_table"],
    },
)
