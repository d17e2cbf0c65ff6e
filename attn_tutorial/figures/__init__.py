"""Figures and tables, drawn in one style from the ledger's frames and from canvases."""

import lazy_loader

# Lazy, so that printing a table does not load matplotlib.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "attention": ["attention_on_canvas", "attention_table", "describe_attention", "draw_attention"],
        "canvases": ["draw_canvas", "severity_grid"],
        "clutter_sheet": ["feather_sheet", "type_sheet"],
        "costs": ["cost_table"],
        "curves": [
            "cost_curve",
            "describe_learning_curves",
            "describe_severity_curves",
            "learning_curves",
            "severity_curves",
        ],
        "findings": ["show_findings"],
        "rates": ["describe_rate_curves", "rate_curves"],
        "steps": ["check_steps"],
        "style": ["palette", "show", "show_table"],
        "tables": ["accuracy_table", "difference_table", "run_table"],
    },
)
