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
        "forest": ["describe_forest_plot", "forest_plot"],
        "gains": ["describe_gain_figure", "gain_figure", "network_costs"],
        "looking": [
            "describe_lesion_figure",
            "describe_looking_figure",
            "harm_overview",
            "harm_table",
            "lesion_figure",
            "looking_figure",
            "looking_table",
        ],
        "measured": ["show_measured"],
        "pilot": [
            "benchmark_sentence",
            "change_sentences",
            "contrast_sentences",
            "summary_sentences",
            "verdict_sentences",
            "verdict_table",
        ],
        "rates": ["describe_rate_curves", "rate_curves"],
        "reruns": ["describe_rerun_figure", "rerun_figure", "rerun_table"],
        "results": ["show_held", "show_results", "standing"],
        "steps": ["check_steps"],
        "style": ["palette", "show", "show_table"],
        "tables": [
            "accuracy_table",
            "difference_table",
            "exploratory_table",
            "record_table",
            "run_table",
            "type_table",
        ],
    },
)
