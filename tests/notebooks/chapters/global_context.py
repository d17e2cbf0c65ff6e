TWINS = [("GlobalContext", lambda c: (c, c // 4), "global_context", {"reduction": 4})]
PARTS = ("One map for all: global context",)
MESSAGES = [
    "context by loop: [0.75, 0.125]\ncontext by hand: [0.75, 0.125]",
    "by loop: [0.75, 0.25, 0.75, 0.25, 0.5, 0.5, 0.5, 0.25]",
    "class = torch.nn.MultiheadAttention: output and maps",
    "zero weights, random bias: it adds up to 0.",
    "ValueError: 4 channels with reduction 4 leave block 'global_context' a hidden layer of width 1",
    "batch first: the first image changes by 0.000",
    "shares: wrong, because",
    "query: wrong, because",
]
OTHER_PARAMETERS = {"seed": 5, "channels": 7, "inner": 20, "heads": 3, "height": 4, "width": 5}  # N = inner
