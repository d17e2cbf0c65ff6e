from .block_results import show_findings as show_findings
from .measured import show_measured as show_measured
from .parameters import (
    ParameterError as ParameterError,
)
from .parameters import (
    Parameters as Parameters,
)
from .parameters import (
    RunError as RunError,
)
from .parameters import (
    project_root as project_root,
)
from .parameters import (
    read_parameters as read_parameters,
)
from .pilot import (
    benchmark_sentence as benchmark_sentence,
)
from .pilot import (
    change_sentences as change_sentences,
)
from .pilot import (
    contrast_sentences as contrast_sentences,
)
from .pilot import (
    summary_sentences as summary_sentences,
)
from .pilot import (
    verdict_sentences as verdict_sentences,
)
from .pilot import (
    verdict_table as verdict_table,
)
from .results import show_held as show_held
from .results import show_results as show_results
from .results import standing as standing
from .steps import check_steps as check_steps
