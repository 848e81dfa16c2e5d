"""
A machine reads the API's description and finds nothing in it that is untrue.

`ECS_FUZZ_SEED=7 ECS_FUZZ_EXAMPLES=100 make test-e2e ARGS='-k description'` looks elsewhere, longer.
"""

import asyncio
import json
import logging
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections import Counter
from pathlib import Path
from typing import Any, Final

from scripts.stack.place import CHECKOUT
from tests.e2e.support import API_PROGRAMS, Outside

log = logging.getLogger(__name__)

SEED: Final = os.environ.get("ECS_FUZZ_SEED", "1")
EXAMPLES: Final = os.environ.get("ECS_FUZZ_EXAMPLES", "30")
REQUESTS_MIN: Final = 1_000
REQUEST_SECONDS_MAX: Final = 20
CONFIGURATION: Final = Path(__file__).parent / "description" / "schemathesis.toml"


async def test_is_true_of_every_answer_that_a_machine_can_provoke(
    ecs: Outside, tmp_path: Path
) -> None:
    report, said = await explored(ecs, into=tmp_path)
    cases = report["test_cases"]
    log.info("schemathesis, seed %s: %s, statuses %s", SEED, cases, statuses_of(tmp_path))

    assert report["exit_code"] == 0, said
    assert report["operations"]["tested"] == report["operations"]["total"] > 20
    assert {phase["status"] for phase in report["phases"].values()} == {"success"}
    assert cases["generated"] >= REQUESTS_MIN


async def explored(ecs: Outside, *, into: Path) -> tuple[dict[str, Any], str]:
    """Let schemathesis loose as a person with a good month; return its report and its words."""
    person = await ecs.an_applicant()
    url = f"http://127.0.0.1:{ecs.stack.layout.ports[API_PROGRAMS[0]]}/openapi.json"
    tokens = {
        "ECS_USER_TOKEN": person.token,
        "ECS_CLIENT_TOKEN": ecs.client_headers["Authorization"].removeprefix("Bearer "),
    }
    fuzzer = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(CONFIGURATION)),
        *("run", url, "--seed", SEED, "--max-examples", EXAMPLES, "--continue-on-failure"),
        *("--request-timeout", str(REQUEST_SECONDS_MAX), "--no-color", "--report", "json,ndjson"),
        *("--report-json-path", str(into / "report.json")),
        *("--report-ndjson-path", str(into / "events.ndjson")),
        cwd=into,
        env=os.environ | tokens | {"PYTHONPATH": str(CHECKOUT)},
        stdout=PIPE,
        stderr=STDOUT,
    )
    said, _ = await fuzzer.communicate()
    return json.loads((into / "report.json").read_text()), said.decode()


def statuses_of(folder: Path) -> dict[str, int]:
    """Count the answers by status."""
    events = (folder / "events.ndjson").read_text()
    return dict(Counter(re.findall(r'"status_code": ?([0-9]{3})', events)).most_common())
