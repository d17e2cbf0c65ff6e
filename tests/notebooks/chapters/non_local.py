FORMS = ("gaussian", "embedded", "dot", "concat")
TWINS = [
    ("NonLocal", lambda c: (c, 10), "non_local", {"inner": 10}),
    *[("AnyForm", lambda c, form=form: (c, 10, form), "non_local", {"inner": 10, "pairwise": form}) for form in FORMS],
    ("SubSampled", lambda c: (c, 10), "non_local", {"inner": 10, "sub_sample": True}),
    ("GlobalContext", lambda c: (c, c // 4), "global_context", {"reduction": 4}),
]
PARTS = ("Four ways to compare", "One map for all: global context")
MESSAGES = [
    "loop = by hand, for all four",
    "without loops = loop, for all four",
    *[f"{form}: package = class" for form in FORMS],
    "class = torch.nn.MultiheadAttention: output and maps",
    "RuntimeError: Expected size for first two dimensions of batch2 tensor to be: [2, 20]",
    "expected weight to be at least 1 at dimension 0",
    "PyTorch only warns: Initializing zero-element tensors is a no-op",
    "different numbers added: 1\n",
    "zero weights, random bias: it adds up to 0.",
    "matches: wrong, because each number is 0.6124 times what it should be",
    "masked: wrong, because",
    "shares: wrong, because",
]
OTHER_PARAMETERS = {"seed": 5, "channels": 7, "inner": 20, "heads": 3, "height": 4, "width": 5}  # N = inner
