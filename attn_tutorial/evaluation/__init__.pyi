from .accuracy import accuracy_by_severity as accuracy_by_severity
from .canvases import Group as Group
from .canvases import Groups as Groups
from .canvases import clutter_of_test as clutter_of_test
from .canvases import groups_of as groups_of
from .full_test import evaluate as evaluate
from .lesions import LESIONS as LESIONS
from .lesions import harms as harms
from .lesions import mean_gates as mean_gates
from .localisation import (
    auc as auc,
)
from .localisation import (
    cell_shares as cell_shares,
)
from .localisation import (
    enrichment as enrichment,
)
from .localisation import (
    grad_cam as grad_cam,
)
from .localisation import (
    localise as localise,
)
from .localisation import (
    pointing as pointing,
)
from .maps import Seen as Seen
from .maps import acting as acting
from .maps import attention_blocks as attention_blocks
from .maps import attention_maps as attention_maps
from .recalibration import recalibrated as recalibrated
from .scoring import scores as scores
