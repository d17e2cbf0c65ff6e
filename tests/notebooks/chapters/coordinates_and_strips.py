TWINS = [
    ("Coordinate", lambda c: (c, 8), "coordinate", {}),
    ("Coordinate", lambda c: (c, c), "coordinate", {"reduction": 1}),
    ("Strip", lambda c: (c, 3), "strip", {}),
    ("Strip", lambda c: (c, 9), "strip", {"kernel": 9}),
    ("ELA", lambda c: (c, 7, 8), "ela", {"norm_groups": 8}),
    ("ELA", lambda c: (c, 5, 1, 8), "ela", {"kernel": 5, "norm_groups": 1, "mixed": 8}),
    ("EMA", lambda c: (c, 8), "ema", {}),
    ("EMA", lambda c: (c, 2), "ema", {"groups": 2}),
]
PARTS = ("Coordinate attention", "Strip attention", "ELA", "EMA")
MESSAGES = [
    "added: target 0.998, its row 0.500, elsewhere 0.002",
    "loop    [0.2, 2.0, 3.0, 7.2] \nby hand [0.2, 2.0, 3.0, 7.2]",
    "loop    [0.0, 0.375, 0.375, 2.25, 0.375, 0.25, 0.0, 0.375] \nby hand [0.0, 0.375,",
    "loop    [0.143, 0.4, 10.8, 11.571, 0.143, 1.2, 3.6, 11.571] \nby hand [0.143, 0.4,",
    "all channels of a group have the same map",
    "coordinate: its row and column\nstrip: its row and column, ± 1\nela: all\nema: all\n",
    "ela without its norm: its row and column, ± 3",
    "5×7 RuntimeError: The size of tensor a (5) must match the size of tensor b (7)",
    "6×6: no error; along a row the gates differ by 0.0\n",
    "right on the transposed picture",
    "added: target 0.99, spot in its row 0.95, empty place in its row 0.84, spot elsewhere 0.73",
    "multiplied: target 0.80, spot in its row 0.60, empty place in its row 0.31, spot elsewhere 0.38",
    "ValueError: num_channels (16) must be divisible by num_groups (32)",
    "ValueError: `norm_groups` of block 'ela' must divide the number of channels",
    "lowest gate with SiLU 0.431, of two 0.186",
    "weights: [1.0]\nValueError: `groups` of block 'ema' must divide the number of channels",
    "row gates: wrong, because its shape is right",
    "weights from a: wrong, because its shape is right",
]
OTHER_PARAMETERS = {"seed": 5, "channels": 7, "kernel": 7, "height": 3, "width": 4}
