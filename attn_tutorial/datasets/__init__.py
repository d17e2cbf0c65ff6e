"""Images as arrays, the clutter generator, and batches: what a network is trained and tested on."""

import lazy_loader

# Lazy, so that naming a data set or planning a study does not load torch.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "add_clutter": ["AddClutter"],
        "arrays": ["as_image_set"],
        "batches": ["Batches", "to_input"],
        "clutter": ["CanvasBatch", "Clutter"],
        "clutter_dataset": ["ClutterDataset"],
        "export": ["export_canvases"],
        "images": ["ImageSet", "load_images"],
        "names": ["CLASS_COUNT", "CLUTTER_TYPES", "CLUTTER_VERSION", "DATASETS", "SEVERITIES", "SPLITS", "TILE"],
        "store": ["Prepared", "prepare"],
    },
)
