from .attention import (
    attention_on_canvas as attention_on_canvas,
)
from .attention import (
    attention_table as attention_table,
)
from .attention import (
    describe_attention as describe_attention,
)
from .attention import (
    draw_attention as draw_attention,
)
from .canvases import draw_canvas as draw_canvas
from .canvases import severity_grid as severity_grid
from .clutter_sheet import feather_sheet as feather_sheet
from .clutter_sheet import type_sheet as type_sheet
from .costs import cost_table as cost_table
from .curves import (
    cost_curve as cost_curve,
)
from .curves import (
    describe_learning_curves as describe_learning_curves,
)
from .curves import (
    describe_severity_curves as describe_severity_curves,
)
from .curves import (
    learning_curves as learning_curves,
)
from .curves import (
    severity_curves as severity_curves,
)
from .forest import describe_forest_plot as describe_forest_plot
from .forest import forest_plot as forest_plot
from .gains import (
    describe_gain_figure as describe_gain_figure,
)
from .gains import (
    gain_figure as gain_figure,
)
from .gains import (
    network_costs as network_costs,
)
from .looking import (
    describe_lesion_figure as describe_lesion_figure,
)
from .looking import (
    describe_looking_figure as describe_looking_figure,
)
from .looking import (
    harm_overview as harm_overview,
)
from .looking import (
    harm_table as harm_table,
)
from .looking import (
    lesion_figure as lesion_figure,
)
from .looking import (
    looking_figure as looking_figure,
)
from .looking import (
    looking_table as looking_table,
)
from .rates import describe_rate_curves as describe_rate_curves
from .rates import rate_curves as rate_curves
from .reruns import (
    describe_rerun_figure as describe_rerun_figure,
)
from .reruns import (
    rerun_figure as rerun_figure,
)
from .reruns import (
    rerun_table as rerun_table,
)
from .style import palette as palette
from .style import show as show
from .style import show_table as show_table
from .tables import (
    accuracy_table as accuracy_table,
)
from .tables import (
    difference_table as difference_table,
)
from .tables import (
    exploratory_table as exploratory_table,
)
from .tables import (
    record_table as record_table,
)
from .tables import (
    run_table as run_table,
)
from .tables import (
    type_table as type_table,
)
