"""Names of the backbones' controls. Imports no torch."""

from typing import Final, Literal

Oracle = Literal["gate", "wrong_gate"]
ORACLE_VERSION: Final = 1
"""Raise it when what an oracle gate computes changes; it is part of the id of runs with one."""
