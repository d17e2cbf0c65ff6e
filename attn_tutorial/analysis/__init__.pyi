from .contrasts import PRIMARY_FAMILY as PRIMARY_FAMILY
from .contrasts import complete_seeds as complete_seeds
from .contrasts import cost_reductions as cost_reductions
from .contrasts import two_way as two_way
from .costs import block_costs as block_costs
from .costs import module_costs as module_costs
from .costs import network_costs as network_costs
from .explanations import explain as explain
from .explanations import gain_remains as gain_remains
from .looking import Looking as Looking
from .looking import judge_looking as judge_looking
from .outcomes import SEEN_COST as SEEN_COST
from .outcomes import UNSEEN_COST as UNSEEN_COST
from .outcomes import areas as areas
from .outcomes import as_gains as as_gains
from .outcomes import distraction_costs as distraction_costs
from .outcomes import distraction_table as distraction_table
from .outcomes import relative_clutter_error as relative_clutter_error
from .outcomes import slopes as slopes
from .outcomes import won_back as won_back
from .power import chance_to_find as chance_to_find
from .power import seeds_needed as seeds_needed
from .power import smallest_reduction as smallest_reduction
from .primary import Finding as Finding
from .primary import judge_primary as judge_primary
from .primary import judge_seen as judge_seen
from .primary import margin_of as margin_of
from .resampling import bootstrap_reductions as bootstrap_reductions
from .resampling import image_costs as image_costs
from .resampling import read_image_costs as read_image_costs
from .statistics import (
    compare_ledgers as compare_ledgers,
)
from .statistics import (
    equivalence as equivalence,
)
from .statistics import (
    intervals as intervals,
)
from .statistics import (
    minimal_detectable_effect as minimal_detectable_effect,
)
from .statistics import (
    paired_differences as paired_differences,
)
from .statistics import (
    seed_differences as seed_differences,
)
from .stopping import Stage as Stage
from .stopping import find_stage as find_stage
from .stopping import hidden_results as hidden_results
from .stopping import hidden_sd as hidden_sd
from .stopping import stage_of as stage_of
from .verdicts import difference as difference
from .verdicts import judge as judge
