from .options import RunOptions as RunOptions
from .runner import RUNNERS as RUNNERS
from .runner import StudyInterrupted as StudyInterrupted
from .runner import run_study as run_study
from .start import start_study as start_study
