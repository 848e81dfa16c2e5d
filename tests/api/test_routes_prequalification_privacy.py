"""A PAN is never repeated: not in an answer, not in a log line, whatever the refusal is."""

import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any, Final

import pytest
import structlog
from httpx import Response

from tests.api.routes_support import (
    APPLICATIONS,
    Caller,
    Stage,
    a_loan_application,
    acting,
    settings_for,
)
from tests.builders import Database

# Six letters and digits that appear nowhere else: what is looked for is not found by accident.
PANS: Final = [f"QZ{chr(65 + n // 26)}P{chr(65 + n % 26)}{7000 + n}K" for n in range(100)]


@pytest.fixture
def told() -> Iterator[StringIO]:
    """Everything that is logged, by us and by the libraries, down to their whispers."""
    written, configured = StringIO(), structlog.get_config()
    handler, root = logging.StreamHandler(written), logging.getLogger()
    # The caller's own program may know what it sends.
    handler.addFilter(lambda record: not record.name.startswith(("httpx", "httpcore")))
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=written))
    yield written
    structlog.configure(**configured)
    root.setLevel(level)
    root.removeHandler(handler)


async def refusals(stage: Stage, person: Caller, other: Caller, pan: str) -> list[Response]:
    """Send a PAN in every way that is refused, after one that is taken."""
    client, headers = stage.client, person.headers
    wrong_holder = f"{pan[:3]}E{pan[4:]}"

    async def send(caller: Caller = person, /, **changes: Any) -> Response:
        return await stage.submit(caller, **{"pan_number": pan} | changes)

    raw = a_loan_application(pan_number=pan)
    return [
        await send(key="k" * 8),
        await send(key="k" * 8, applicant_name="B"),
        await send(),
        await send(other),
        await send(pan_number=wrong_holder),
        await send(pan_number=f"{pan}{pan}"),
        await send(pan_number=[pan]),
        await send(pan_number={pan: pan}),
        await send(key="short"),
        await send(loan_type=pan, monthly_income_inr=pan, applicant_name=f"\u202e{pan}"),
        await send(**{pan: 1, "monthly_income_inr": "-1"}),
        await client.post(APPLICATIONS, json=raw),
        await client.post(APPLICATIONS, content=str(raw), headers=headers),
        await client.post(APPLICATIONS, json=pan, headers=headers),
        await client.post(f"{APPLICATIONS}/{pan}/review", json=raw, headers=headers),
        await client.get(f"{APPLICATIONS}/{pan}/status", headers=headers),
        await client.get(f"/{pan}"),
        await client.get(f"/{pan.lower()}", headers={"X-Request-ID": pan, "User-Agent": pan}),
        await client.get(APPLICATIONS, params={"status": pan}, headers=headers),
        await client.get(APPLICATIONS, params={pan: pan}, headers=headers),
    ]


@pytest.mark.parametrize("environment", ["production", "development"])
async def test_a_pan_is_repeated_nowhere(
    environment: str, told: StringIO, database: Database, redis_url: str
) -> None:
    pans = PANS if environment == "production" else PANS[:10]
    async with acting(settings_for(database, redis_url, environment=environment)) as stage:
        other = await stage.a_person()
        for pan in pans:
            answers = await refusals(stage, await stage.a_person(), other, pan)
            assert [answer.status_code for answer in answers[:2]] == [202, 422]
            assert all(answer.is_client_error for answer in answers[1:])
            for answer in answers:
                said = answer.text + str(answer.headers)
                assert pan[:6] not in said.upper(), (answer.request.url, said)
        stored = await stage.run(
            "SELECT (SELECT json_agg(a) FROM prequalification_applications a)::text"
            " || (SELECT json_agg(e) FROM outbox_events e)::text"
            " || (SELECT json_agg(l) FROM audit_log l)::text"
            " || (SELECT json_agg(k) FROM idempotency_keys k)::text AS everything"
        )

    logged = told.getvalue()
    assert "prequalification.submitted" in logged
    for pan in pans:
        assert pan[:6] not in logged.upper()
        assert pan[:6] not in stored[0]["everything"].upper()
