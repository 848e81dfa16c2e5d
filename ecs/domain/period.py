"""Stretches of time that decisions look at. Half-open: the start belongs to them, the end not."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The ``days`` before a moment, and at most ``rows_max`` of the newest rows in them."""

    days: int
    rows_max: int
