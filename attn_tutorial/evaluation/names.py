"""Names that tests and files of their results share. Imports no torch."""

from typing import Final

NOT_TESTED: Final = 255
"""In arrays of answers: the image was not tested."""
