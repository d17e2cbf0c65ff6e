from .costs import block_costs as block_costs
from .costs import module_costs as module_costs
from .costs import network_costs as network_costs
from .outcomes import SEEN_COST as SEEN_COST
from .outcomes import UNSEEN_COST as UNSEEN_COST
from .outcomes import areas as areas
from .outcomes import as_gains as as_gains
from .outcomes import distraction_costs as distraction_costs
from .outcomes import distraction_table as distraction_table
from .outcomes import relative_clutter_error as relative_clutter_error
from .outcomes import slopes as slopes
from .outcomes import won_back as won_back
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
from .verdicts import difference as difference
from .verdicts import judge as judge
