"""Small readings of what a statement did."""

from typing import Any

from sqlalchemy import CursorResult, Result


def rowcount(result: Result[Any]) -> int:
    """Return how many rows a write touched."""
    assert isinstance(result, CursorResult)
    return int(result.rowcount)
