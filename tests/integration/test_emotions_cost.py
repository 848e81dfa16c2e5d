"""What a batch costs the database, and what it leaves in the log."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from structlog.testing import capture_logs

from ecs.bootstrap import Application
from ecs.domain.emotions.events import Verdict
from ecs.repositories.emotions_repository import _INGEST
from tests.builders import Database
from tests.integration.readings import a_pair, an_event, ingest, ingest_unvouched, stored
from tests.statements import COMMIT, statement_log


async def test_a_thousand_items_are_one_statement_and_one_commit(
    ecs: Application, database: Database, owner: Any
) -> None:
    pairs = [await a_pair(database) for _ in range(4)]
    items = [an_event(*pairs[number % 4]) for number in range(990)]
    items += items[:10]
    with statement_log() as told:
        verdicts = await ingest(ecs, *items)
    assert verdicts == [Verdict.ACCEPTED] * 990 + [Verdict.DUPLICATE] * 10
    assert [statement == COMMIT for statement in told] == [False, True]
    assert (await stored(owner)).total() == 990


async def test_whoever_is_not_vouched_for_costs_one_more(
    ecs: Application, database: Database
) -> None:
    pairs = [await a_pair(database) for _ in range(4)]
    with statement_log() as told:
        await ingest_unvouched(ecs, *(an_event(*pair) for pair in pairs))
    assert [statement == COMMIT for statement in told] == [False, False, True]


async def test_a_plan_that_is_kept_expects_a_large_batch(plain: Any) -> None:
    """Otherwise the items of a batch are compared each with each, a thousand times a thousand."""
    names: dict[str, str] = {}
    numbered = re.sub(
        r"(?<!:):(\w+)",
        lambda found: names.setdefault(found[1], f"${len(names) + 1}"),
        _INGEST.text,
    )
    await plain.execute("SET plan_cache_mode = force_generic_plan")
    await plain.execute(f"PREPARE kept AS {numbered}")
    nothing = ", ".join(["NULL"] * len(names))
    rows = await plain.fetch(f"EXPLAIN EXECUTE kept ({nothing})")
    [batch] = [row[0] for row in rows if "Function Scan" in row[0]]
    assert "rows=1000" in batch
    assert not [row[0] for row in rows if "Join Filter" in row[0]]


async def test_the_log_has_one_line_of_counts_for_a_batch(
    ecs: Application, database: Database
) -> None:
    item = an_event(*await a_pair(database))
    late = replace(item, captured_at=datetime(9999, 1, 1, tzinfo=UTC))
    with capture_logs() as lines:
        await ingest(ecs, item, late, item, item)
    assert lines == [
        {
            "event": "emotions.ingested",
            "log_level": "info",
            "items": 4,
            "accepted": 1,
            "duplicate": 2,
            "future_timestamp": 1,
        }
    ]
