TWINS = [
    ("SimAM", lambda c: (), "simam", {}),
    ("SimAM", lambda c: (0.5,), "simam", {"lam": 0.5}),
    ("Triplet", lambda c: (7,), "triplet", {}),
    ("Triplet", lambda c: (3,), "triplet", {"kernel": 3}),
]
PARTS = ("SimAM", "Triplet attention")
MESSAGES = [
    "one place: broken [nan, nan]\npackage ['0.62', '0.62']",
    "16×5×7 RuntimeError: The size of tensor a (5) must match the size of tensor b (16)",
    "6×6×6: 1 number in; 3 out, and 1 if turned back",
    "z: wrong, because each number is 0.9856 times what it should be",
    "map: wrong, because its shape is right",
    "rows: wrong, because its shape is right",
]
OTHER_PARAMETERS = {"seed": 5, "channels": 7, "kernel": 7, "height": 3, "width": 4}
