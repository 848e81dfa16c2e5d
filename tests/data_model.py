"""
The two pictures of ``docs/data-model.md``, drawn from the tables.

``python -m tests.data_model`` draws them anew there, when a table has changed.
"""

import re
from typing import Final

from sqlalchemy import Column, Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import dialect
from sqlmodel import SQLModel

from ecs.repositories import tables  # noqa: F401  (registers every table)
from scripts.stack.place import CHECKOUT

# What refers to something without a foreign key, and why.
LOOSE: Final = (
    ("users", "risk_assessments", "user_id, no key: the record outlives the person"),
    ("users", "consent_changes", "user_id, no key: the proof outlives the person"),
    ("jobs", "outbox_events", "id, no key: the event is cleaned away first"),
    ("jobs", "processed_messages", "message_id, no key: the memory ends first"),
    (
        "prequalification_applications",
        "audit_log",
        "application_id, no key: the audit outlives the application",
    ),
)
_PICTURE: Final = re.compile(r"^```mermaid\n.*?^```\n", re.DOTALL | re.MULTILINE)
DIALECT: Final = dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy
SHORT: Final = {"timestamp with time zone": "timestamptz", "double precision": "float8"}


def every_table() -> list[Table]:
    """Return the tables, by name."""
    return sorted(SQLModel.metadata.tables.values(), key=lambda table: table.name)


def references() -> str:
    """Return who refers to whom, as a mermaid diagram."""
    lines = [line for table in every_table() for line in _references(table)]
    loose = [f'{one} ||..o{{ {many} : "{why}"' for one, many, why in LOOSE]
    return _drawn([*lines, *loose])


def columns() -> str:
    """Return every table with every column, as a mermaid diagram."""
    lines = []
    for table in every_table():
        lines += [f"{table.name} {{", *(f"    {_column(one)}" for one in table.columns), "}"]
    return _drawn(lines)


def _drawn(lines: list[str]) -> str:
    return "".join(["erDiagram\n", *(f"    {line}\n" for line in lines)])


def _references(table: Table) -> list[str]:
    return sorted(_reference(table, one) for one in table.columns if one.foreign_keys)


def _reference(table: Table, column: Column[object]) -> str:
    (key,) = column.foreign_keys
    parent = key.column.table.name
    ends = f"{'|o' if column.nullable else '||'}--{'o|' if _is_unique(column) else 'o{'}"
    return f'{parent} {ends} {table.name} : "{column.name}"'


def _is_unique(column: Column[object]) -> bool:
    rules = (rule for rule in column.table.constraints if isinstance(rule, UniqueConstraint))
    return any(list(rule.columns) == [column] for rule in rules)


def _column(column: Column[object]) -> str:
    written = column.type.compile(dialect=DIALECT).lower()
    kind = SHORT.get(written, written).partition("(")[0]
    keys = ["PK"] * column.primary_key + ["FK"] * bool(column.foreign_keys)
    words = (kind, column.name, ", ".join(keys), '"optional"' if column.nullable else "")
    return " ".join(word for word in words if word)


def main() -> None:
    """Put both pictures where the document has its own."""
    document = CHECKOUT / "docs" / "data-model.md"
    pictures = iter((references(), columns()))
    text = _PICTURE.sub(lambda _: f"```mermaid\n{next(pictures)}```\n", document.read_text())
    document.write_text(text)


if __name__ == "__main__":
    main()
