"""The README's journey, typed as it stands."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from scripts.demo_people import PERSONAS, transactions_of
from scripts.stack.place import CHECKOUT
from tests.commands import run
from tests.documents import blocks
from tests.e2e.support import Outside

README: Final = CHECKOUT / "README.md"
PASSWORD: Final = "a demo person's password"
SECONDS_MAX: Final = 60
STEP: Final = re.compile(r"^# (\d+)\.", re.MULTILINE)
# A reader takes a moment between two steps; the account is open by then.
A_MOMENT: Final = """
until curl "$URL$(json "['status_url']" < .stack/accepted.json)" \
  -H "Authorization: Bearer $TOKEN" | grep -q succeeded; do :; done
"""


class TestTheReadme:
    async def test_tells_a_journey_that_works(self, ecs: Outside, tmp_path: Path) -> None:
        public = tmp_path / ".stack"
        public.mkdir()
        await _publish_for_a_new_reader(ecs, public)
        said = await _typed(journey(), folder=tmp_path)

        offer, accepted = json.loads(said[2]), json.loads(said[3])
        assert offer["status"] == "offered"
        assert accepted["offer_id"] == offer["id"]
        job, account, notifications = _jsons(said[4])
        assert (job["id"], job["status"]) == (accepted["job_id"], "succeeded")
        assert account["credit_limit"] == offer["credit_limit"]
        assert [one["kind"] for one in notifications["data"]] == ["account_opened"]

        assert json.loads(said[5])["full_name"] == "Maria Souza"
        assert json.loads(said[7])["accepted"] == 1
        assert "transactions" in said[8]

        assert json.loads(said[9])["status"] == "active"
        assert json.loads(said[10])["accepted"] == 1
        yesterday, today = json.loads(said[11])["data"]
        assert (yesterday["count"], today["count"]) == (0, 1)
        assert said[12].strip() == ""


def journey() -> str:
    """The README's bash blocks behind the two commands, as one script for a new Maria."""
    commands = [block for block in blocks(README) if block.language == "bash"]
    script = "\n".join(block.text for block in commands if block.reason is None)
    marked = STEP.sub(r"echo; echo '=== \1'\n# \1.", script.replace("# 4.", f"{A_MOMENT}# 4."))
    return marked.replace("maria@example.com", f"maria-{uuid4()}@example.com")


async def _publish_for_a_new_reader(ecs: Outside, folder: Path) -> None:
    """What `make run` leaves in `.stack`, with a "steady" person who has not yet applied."""
    demo = json.loads((ecs.stack.public / "demo.json").read_text())
    assert demo["users"][1]["persona"] == "steady"
    demo["users"][1] |= await _another_steady_person(ecs)
    (folder / "url").write_text(f"{ecs.stack.url}\n")
    (folder / "demo.json").write_text(json.dumps(demo))


async def _another_steady_person(ecs: Outside) -> dict[str, str]:
    email = f"{uuid4()}@example.com"
    created = await ecs.http.post(
        "/api/v1/users", json={"email": email, "full_name": "Sergio Lima", "password": PASSWORD}
    )
    now = datetime.now(UTC)
    steady = next(persona for persona in PERSONAS if persona.name == "steady")
    items = transactions_of(steady, user_id=created.json()["id"], now=now, currency="BRL")
    rows = [
        ((now - item.occurred_at).total_seconds() / 86_400, item.amount_minor, item.category)
        for item in items
    ]
    answer = await ecs.ingest(created.json()["id"], rows)
    assert answer.json()["rejected"] == 0
    return {"email": email, "password": PASSWORD}


async def _typed(script: str, *, folder: Path) -> dict[int, str]:
    """Run the script and return what each numbered step printed."""
    said = await run("bash", "-euo", "pipefail", "-c", script, seconds=SECONDS_MAX, folder=folder)
    _, *parts = re.split(r"^=== (\d+)$", said.printed, flags=re.MULTILINE)
    return {int(number): text for number, text in zip(parts[::2], parts[1::2], strict=True)}


def _jsons(text: str) -> list[Any]:
    """Several JSON documents, one behind the other."""
    decoder, found, text = json.JSONDecoder(), [], text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:].lstrip()
    return found
