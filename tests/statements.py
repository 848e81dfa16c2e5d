"""What this process says to the database, in order."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.engine import Engine

COMMIT: Final = "COMMIT"


@contextmanager
def statement_log() -> Iterator[list[str]]:
    """Collect the text of every statement, and ``COMMIT`` for every commit."""
    told: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        told.append(statement)

    def note_commit(_connection: Any) -> None:
        told.append(COMMIT)

    event.listen(Engine, "before_cursor_execute", note)
    event.listen(Engine, "commit", note_commit)
    try:
        yield told
    finally:
        event.remove(Engine, "before_cursor_execute", note)
        event.remove(Engine, "commit", note_commit)
