"""The statements that an engine sends, told as they begin and as they end."""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

End = Callable[[BaseException | None], None]
Begin = Callable[[str], End]
END: Final = "ecs_end"


def watch_statements(engine: AsyncEngine, begin: Begin) -> None:
    """
    Have ``begin`` told the text of each statement, never its values.

    What it returns is called when the statement is over, with what went wrong if anything did.
    """

    def before(_: Any, __: Any, statement: str, ___: Any, context: Any, ____: bool) -> None:  # noqa: FBT001  (SQLAlchemy's)
        setattr(context, END, begin(statement))

    def after(_: Any, __: Any, ___: str, ____: Any, context: Any, _____: bool) -> None:  # noqa: FBT001  (SQLAlchemy's)
        _end(context, None)

    def failed(failure: ExceptionContext) -> None:
        _end(failure.execution_context, failure.original_exception)

    event.listen(engine.sync_engine, "before_cursor_execute", before)
    event.listen(engine.sync_engine, "after_cursor_execute", after)
    event.listen(engine.sync_engine, "handle_error", failed)


def _end(context: Any, error: BaseException | None) -> None:
    """End what began in this context, once; a connection may fail with nothing under way."""
    end: End | None = getattr(context, END, None)
    if end is not None:
        setattr(context, END, None)
        end(error)
