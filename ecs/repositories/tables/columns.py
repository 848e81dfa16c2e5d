"""Column shapes that every table shares."""

from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Numeric, Text, Uuid


def instant(*, nullable: bool = False, **options: Any) -> Any:
    """Return a ``timestamptz`` column: always with its zone."""
    return Column(DateTime(timezone=True), nullable=nullable, **options)


def minor_units(*, nullable: bool = False) -> Any:
    """Return a ``bigint`` column of whole cents."""
    return Column(BigInteger, nullable=nullable)


def rate(*, nullable: bool = False) -> Any:
    """Return a ``numeric(9,6)`` column: a fraction, 0.153662 for 15.3662 % a year."""
    return Column(Numeric(9, 6), nullable=nullable)


def text_column(*, nullable: bool = False) -> Any:
    """Return a ``text`` column; CHECKs bound it where it matters."""
    return Column(Text, nullable=nullable)


def reference(table: str, name: str, *, nullable: bool = False, primary_key: bool = False) -> Any:
    """Return a ``uuid`` column that refers to ``table``'s id by the constraint ``name``."""
    return Column(
        Uuid, ForeignKey(f"{table}.id", name=name), nullable=nullable, primary_key=primary_key
    )
