from .files import (
    study_names as study_names,
)
from .presets import (
    Preset as Preset,
)
from .presets import (
    preset_names as preset_names,
)
from .protocol import (
    Protocol as Protocol,
)
from .study import (
    PlannedRun as PlannedRun,
)
from .study import (
    Study as Study,
)
