from attn_tutorial.blocks import build_block


def _parts(first, second, arrangement):
    return lambda c: (build_block(first, c), build_block(second, c), arrangement)


TWINS = [
    ("Combined", _parts(*pair.split("+"), arrangement), pair, {"arrangement": arrangement})
    for pair in ("se+spatial", "se+non_local", "cbam+non_local")
    for arrangement in ("sequential", "parallel")
]
MESSAGES = [
    "channel-spatial  differs from the paper's by up to 0.0000",
    "no error, but the silent channel now contains the map",
    "ValueError: block 'channel' takes floating-point features (batch, 32 channels",
    "sum: 512 times the input",
    "1 map\nSE's gates are gone",
    "162 weights for two blocks, instead of 324",
    "places: wrong, because its shape is right",
]
OTHER_PARAMETERS = {"seed": 5, "channels": 24, "reduction": 3, "height": 2, "width": 9}
