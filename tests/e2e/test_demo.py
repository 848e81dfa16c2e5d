"""`make demo`, as a user runs it on the running stack."""

import asyncio
import json
import logging
import sys
import time
from typing import Final

from scripts.demo.outcomes import Outcome, documented
from scripts.demo.report import WIDTH, table
from scripts.demo.roles import ROLES
from tests.commands import run
from tests.e2e.support import Outside

SECONDS_MAX: Final = 60
OUR_WORDS: Final = frozenset(
    {"person", "story", "email", "user_id", "decision_id", "notification_ids", "differences"}
)

log = logging.getLogger(__name__)


class TestTheDemo:
    async def test_shows_what_is_documented_however_often_and_beside_itself(
        self, ecs: Outside
    ) -> None:
        started = time.monotonic()
        printed = await asyncio.gather(_demo(ecs), _demo(ecs))
        log.info("two demos at once: %.1f s", time.monotonic() - started)
        for text in printed:
            assert table(documented()).plain in text
            assert f"As documented: {len(ROLES)} of {len(ROLES)}" in text
            assert (
                max(len(line) for line in text.splitlines() if str(ecs.stack.public) not in line)
                <= WIDTH
            )

    async def test_tells_other_programs_one_line_a_person(self, ecs: Outside) -> None:
        lines = [json.loads(line) for line in (await _demo(ecs, "--json")).splitlines()]
        assert [line["person"] for line in lines] == [role.name for role in ROLES]
        for line in lines:
            assert line["differences"] == []
            found = {name: value for name, value in line.items() if name not in OUR_WORDS}
            assert Outcome.of(found) == documented()[line["person"]]
            person = await ecs.value("SELECT id FROM users WHERE email = $1", line["email"])
            assert str(person) == line["user_id"]


async def _demo(ecs: Outside, *words: str) -> str:
    """Run the demo; return what it printed into the pipe."""
    demo = ("-m", "scripts.demo", "--stack", str(ecs.stack.public))
    return (await run(sys.executable, *demo, *words, seconds=SECONDS_MAX)).printed
