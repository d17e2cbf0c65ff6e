"""Training one run: the loop, its optimisers, and checkpoints from which it resumes to the same bits."""

import lazy_loader

# Lazy, so that planning a study does not load torch.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "loop": ["Diverged", "OutOfMemory", "Stopped", "Trained", "fit"],
        "machine": ["Execution", "choose_device", "keep_memory", "thread_count"],
        "model": ["build_model", "build_network", "weights_sha256"],
        "muon": ["Muon"],
        "names": ["check_device", "check_precision"],
        "progress": ["Progress"],
    },
)
