FORMS = ("gaussian", "embedded", "dot", "concat", "uniform")
TWINS = [
    ("NonLocal", lambda c: (c, 10), "non_local", {"inner": 10}),
    *[("AnyForm", lambda c, form=form: (c, 10, form), "non_local", {"inner": 10, "pairwise": form}) for form in FORMS],
    ("SubSampled", lambda c: (c, 10), "non_local", {"inner": 10, "sub_sample": True}),
]
PARTS = ("Four ways to compare",)
MESSAGES = [
    "concat   loop [0.25, 0.25, 0.5, 0.25], hand [0.25, 0.25, 0.5, 0.25]",
    "loop = by hand, for all four",
    "without loops = loop, for all four",
    *[f"{form}: package = class" for form in FORMS],
    "same numbers; N² = 400, but d² = 36",
    "ceil_mode=False: (1, 3, 2, 2),\n    the last column changes it by 0.0",
    "ceil_mode=True: (1, 3, 2, 3),\n    the last column changes it by 10.0",
    "RuntimeError: Calculated output size: (3x0x0). Output size is too small",
    "collected: wrong, because each number is 20 times what it should be",
    "kept: wrong, because",
]
OTHER_PARAMETERS = {"seed": 5, "channels": 7, "inner": 20, "height": 4, "width": 5}  # N = inner
