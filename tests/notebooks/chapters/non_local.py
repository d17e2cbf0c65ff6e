TWINS = [("NonLocal", lambda c: (c, 10), "non_local", {"inner": 10})]
MESSAGES = [
    "place 2 by loop: [0.1667, 0.1667, 0.5, 0.1667]\n        by hand: [0.1667, 0.1667, 0.5, 0.1667]",
    "collected by loop: [0.75, 0.75, 0.3333, 0.5, 0.125, 0.125, 0.5, 0.25]",
    "RuntimeError: Expected size for first two dimensions of batch2 tensor to be: [2, 20]",
    "expected weight to be at least 1 at dimension 0",
    "PyTorch only warns: Initializing zero-element tensors is a no-op",
    "different numbers added: 1\n",
    "matches: wrong, because each number is 0.6124 times what it should be",
    "masked: wrong, because",
]
OTHER_PARAMETERS = {"seed": 5, "channels": 7, "inner": 20, "height": 4, "width": 5}  # N = inner
