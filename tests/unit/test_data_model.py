"""The pictures and the list of tables in ``docs/data-model.md`` are those of the program."""

import re
from typing import Final

from scripts.stack.place import CHECKOUT
from tests import data_model
from tests.documents import blocks

DOCUMENT: Final = CHECKOUT / "docs" / "data-model.md"


def test_the_pictures_are_drawn_from_the_tables() -> None:
    drawn = [block.text for block in blocks(DOCUMENT) if block.language == "mermaid"]
    assert drawn == [data_model.references(), data_model.columns()]


def test_every_table_is_explained() -> None:
    explained = re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert sorted(explained) == [table.name for table in data_model.every_table()]


def test_every_rule_that_is_named_exists() -> None:
    rules = {
        str(getattr(rule, "name", None))
        for table in data_model.every_table()
        for rule in (*table.constraints, *table.indexes)
    }
    prefixes = tuple(f"{table.name}_" for table in data_model.every_table())
    named = set(re.findall(r"[a-z_]+", DOCUMENT.read_text()))
    assert {name for name in named if name.startswith(prefixes)} - rules == set()


def test_a_reference_without_a_key_is_really_one() -> None:
    tables = {table.name: table for table in data_model.every_table()}
    for _, many, why in data_model.LOOSE:
        column = tables[many].columns[why.partition(",")[0]]
        assert not column.foreign_keys
