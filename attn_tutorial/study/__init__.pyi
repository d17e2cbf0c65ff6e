from .study import (
    PlannedRun as PlannedRun,
)
from .study import (
    Preset as Preset,
)
from .study import (
    Study as Study,
)
from .study import (
    preset_names as preset_names,
)
from .study import (
    study_names as study_names,
)
