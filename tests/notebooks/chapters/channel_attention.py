TWINS = [
    ("SqueezeExcite", lambda c: (c, 4), "se", {"reduction": 4}),
    ("EfficientChannelAttention", lambda c: (3,), "eca", {}),
    ("EfficientChannelAttention", lambda c: (7,), "eca", {"kernel": 7}),
    ("ge_minus", lambda c: (2,), "gather_excite", {"extent": 2}),
    ("ge_minus", lambda c: (4,), "gather_excite", {"extent": 4}),
    ("ge_theta", lambda c: (c, 8), "gather_excite", {"extent": 8, "gather": "conv"}),
    ("ge_plus", lambda c: (c, 4, 2), "gather_excite", {"extent": 4, "gather": "conv", "reduction": 2}),
]
PARTS = ("A third block: Gather-Excite",)
MESSAGES = [
    "PyTorch says: Initializing zero-element tensors is a no-op",
    "The block returns half of its input",
    "ValueError: 8 channels with reduction 16",
    "RuntimeError: The size of tensor a (7) must match the size of tensor b (32)",
    "32 channels, 33 gates",
    "RuntimeError: The size of tensor a (32) must match the size of tensor b (33)",
    "ValueError: block 'eca': kernel must be odd, or None to follow from the channels, but got 4",
    "3,072 weights, of which 1,024 do something; ECA has 3",
    "gates by hand [0.75, 0.25] loop [0.75, 0.25]",
    "one channel: 16 gates",
    "zeros counted: True; means [0.444, 0.667, 0.667, 1.0]",
    "zeros counted: False; means [1.0, 1.0, 1.0, 1.0]",
    "after ReLU(): gates from 0.50",
    "squeeze: wrong, because each number is 35 times what it should be",
    "summaries: wrong, because its shape is right",
]
OTHER_PARAMETERS = {"seed": 5, "channels": 128, "reduction": 16, "height": 1, "width": 2}  # k is 5
