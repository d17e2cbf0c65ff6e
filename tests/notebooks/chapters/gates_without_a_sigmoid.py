TWINS = [
    ("LargeKernelAttention", lambda c: (c,), "lka", {}),
    ("LargeKernelAttention", lambda c: (c, 6, 2), "lka", {"kernel": 6, "dilation": 2}),
    ("GlobalResponseNorm", lambda c: (c,), "grn", {}),
    ("GlobalResponseNorm", lambda c: (c, 0.5), "grn", {"eps": 0.5}),
]
PARTS = ("Large kernel attention", "Global response normalisation")
MESSAGES = [
    "places that count: [25, 49, 529]",
    "loop    [1.0, -2.0, -3.0, -4.0, 0.0, 1.0, 4.0, 0.0]",
    "2 x: 4.0 times the output",
    "loop    [2.0, 4.0, 4.0, 8.0, 0.0, 1.0, 1.0, 1.0]",
    "shuffled places: LKA notices, GRN does not",
    "24: RuntimeError: The size of tensor a (24) must match the size of tensor b (12)",
    "13: gates 1×1, no error",
    "7: RuntimeError: Calculated padded input size per channel: (13 x 13)",
    "307,392 parameters instead of 9,024",
    "n from 1.000 to 1.000, at every place",
    "without x: largest output 0.00, largest gradient of the input 0.00",
    "8×5×7 RuntimeError: The size of tensor a (8) must match the size of tensor b (7)",
    "8×5×8, γ = 0: off by up to 0.00",
    "LKA, at_start='identity' 1.00, the identity",
    "distant: wrong, because its shape is right",
    "n: wrong, because each number is 0.0625 times what it should be",
    "kernel 23×23; gap inside 0.0000",
]
OTHER_PARAMETERS = {"seed": 5, "channels": 7, "kernel": 9, "height": 1, "width": 4}
