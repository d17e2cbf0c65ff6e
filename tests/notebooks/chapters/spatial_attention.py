TWINS = [
    ("SpatialGate", lambda c: (3, False), "spatial", {"kernel": 3, "norm": False}),
    ("SpatialGate", lambda c: (7,), "spatial", {}),
    ("ChannelGate", lambda c: (c, 8), "channel", {"reduction": 8}),
    ("CBAM", lambda c: (c, 4, 3), "cbam", {"reduction": 4, "kernel": 3}),
    ("BAM", lambda c: (c, 4), "bam", {"reduction": 4}),
    ("BAM", lambda c: (c, 2, 1), "bam", {"reduction": 2, "dilation": 1}),
]
MESSAGES = [
    "in (2, 32, 9, 6) out (2, 1, 9, 6)",
    "RuntimeError: Given groups=1, weight of size [32, 32, 3, 3], expected input[2, 1, 9, 6]",
    "NameError: name 'gate_activation' is not defined",
    "(6, 6) (2, 4) right",
    "(9, 6) RuntimeError: Given input size: (4x9x6)",
    "(6, 13) (2, 8) wrong",
    "(6, 9) (2, 4) wrong",
    "7 (2, 1, 1, 1) expanded to (2, 1, 7, 7)",
    "12 RuntimeError: The expanded size of the tensor (12) must match the existing size (6)",
    "mean: wrong, because its shape is right",
]
OTHER_PARAMETERS = {"seed": 5, "channels": 16, "reduction": 1, "kernel": 3, "height": 3, "width": 4}
