TWINS = [
    ("SqueezeExcite", lambda c: (c, 4), "se", {"reduction": 4}),
    ("EfficientChannelAttention", lambda c: (3,), "eca", {}),
    ("EfficientChannelAttention", lambda c: (7,), "eca", {"kernel": 7}),
]
MESSAGES = [
    "PyTorch says: Initializing zero-element tensors is a no-op",
    "The block returns half of its input",
    "ValueError: 8 channels with reduction 16",
    "RuntimeError: The size of tensor a (7) must match the size of tensor b (32)",
    "32 channels, 33 gates",
    "RuntimeError: The size of tensor a (32) must match the size of tensor b (33)",
    "ValueError: block 'eca': kernel must be odd, or None to follow from the channels, but got 4",
    "3,072 weights, of which 1,024 do something; ECA has 3",
    "squeeze: wrong, because each number is 35 times what it should be",
]
OTHER_PARAMETERS = {"seed": 5, "channels": 128, "reduction": 16, "height": 1, "width": 2}  # k is 5
