import pytest

from attn_tutorial.clutter.names import (
    AXES,
    BACKGROUND_TYPES,
    CLUTTER_TYPES,
    OCCLUSION_TYPES,
    SEEN_TYPES,
    UNSEEN_TYPES,
    axis_of,
)
from attn_tutorial.errors import InputError


@pytest.mark.parametrize(
    ("types", "axis"),
    [
        ("surround+noise", "background"),
        ("mosaic", "background"),
        (("crowd", "mosaic", "noise"), "background"),
        ("veil", "occlusion"),
        (["strokes", "fragments"], "occlusion"),
        ("fragments+noise", "mixed"),
        (CLUTTER_TYPES, "mixed"),
    ],
)
def test_a_composition_has_one_axis(types, axis):
    assert axis_of(types) == axis
    assert axis in AXES


def test_every_type_has_an_axis_and_the_primary_one_has_the_types_that_training_sees():
    assert {name: axis_of(name) for name in CLUTTER_TYPES} == {
        **dict.fromkeys(BACKGROUND_TYPES, "background"), **dict.fromkeys(OCCLUSION_TYPES, "occlusion")
    }  # fmt: skip
    assert axis_of(SEEN_TYPES) == axis_of(UNSEEN_TYPES) == "background"
    assert AXES[0] == "background"


@pytest.mark.parametrize(
    ("types", "message"),
    [("fragment", "Did you mean 'fragments'"), ("noise+fog", "clutter type must be one of"), ((), "is empty")],
)
def test_what_is_not_a_composition_is_refused(types, message):
    with pytest.raises(InputError, match=message):
        axis_of(types)
