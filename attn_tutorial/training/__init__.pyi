from .loop import Diverged as Diverged
from .loop import OutOfMemory as OutOfMemory
from .loop import Stopped as Stopped
from .loop import Trained as Trained
from .loop import fit as fit
from .machine import (
    Execution as Execution,
)
from .machine import (
    choose_device as choose_device,
)
from .machine import (
    keep_memory as keep_memory,
)
from .machine import (
    thread_count as thread_count,
)
from .model import build_model as build_model
from .model import build_network as build_network
from .model import weights_sha256 as weights_sha256
from .muon import Muon as Muon
from .names import check_device as check_device
from .names import check_precision as check_precision
from .progress import Progress as Progress
