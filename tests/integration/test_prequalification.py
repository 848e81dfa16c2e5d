"""Applications for prequalification: what one transaction leaves behind, and races for one PAN."""

from asyncio import gather
from base64 import b64decode
from collections import Counter
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from ecs.bootstrap import Application
from ecs.domain.money import Money
from ecs.domain.prequalification.application import ApplicationForm, LoanType
from ecs.services.exceptions import DuplicateApplication, IdempotencyInProgress, InvalidPan
from ecs.services.idempotency import KeyedRequest
from tests.builders import BLIND_INDEX_KEY, Database, a_user
from tests.statements import COMMIT, statement_log

PAN: Final = "ABCPE1234F"
STORED: Final = """
SELECT (SELECT count(*) FROM prequalification_applications) AS applications,
       (SELECT count(*) FROM prequalification_status_changes) AS changes,
       (SELECT count(*) FROM audit_log) AS accesses,
       (SELECT count(*) FROM outbox_events) AS events
"""


def a_form(pan_number: str = PAN) -> ApplicationForm:
    return ApplicationForm(
        pan_number=pan_number,
        applicant_name="Asha Rao",
        monthly_income=Money(5_000_000),
        loan_amount=Money(200_000_000),
        loan_type=LoanType.HOME,
    )


async def submit(ecs: Application, user_id: UUID, pan_number: str = PAN, **options: Any) -> UUID:
    submission, _ = await ecs.prequalification.submit(
        a_form(pan_number), user_id=user_id, request_id="req-1", **options
    )
    return submission.application_id


class TestSubmit:
    async def test_writes_all_or_nothing_in_one_transaction(
        self, ecs: Application, owner: Any, user_id: UUID
    ) -> None:
        application_id = await submit(ecs, user_id)

        row = await owner.fetchrow("SELECT * FROM prequalification_applications")
        change = await owner.fetchrow("SELECT * FROM prequalification_status_changes")
        access = await owner.fetchrow("SELECT * FROM audit_log")
        event = await owner.fetchrow(
            "SELECT *, payload->>'pan_encrypted' AS pan FROM outbox_events"
        )
        assert (row["id"], row["user_id"], row["version"]) == (application_id, user_id, 1)
        assert (change["application_id"], change["status"]) == (application_id, "PENDING")
        assert (access["actor"], access["service"], access["action"]) == (
            *(f"user:{user_id}", "api", "ENCRYPT"),
        )
        assert {access["request_id"], change["request_id"], event["request_id"]} == {"req-1"}
        assert b64decode(event["pan"]) == bytes(row["pan_ciphertext"])
        assert event["name"] == "prequalification.application-submitted"

    async def test_stores_a_ciphertext_a_keyed_index_and_a_mask(
        self, ecs: Application, owner: Any, user_id: UUID
    ) -> None:
        application_id = await submit(ecs, user_id, PAN.lower())

        row = await owner.fetchrow("SELECT * FROM prequalification_applications")
        cipher, index = ecs.prequalification.cipher, ecs.prequalification.blind_index
        pan = cipher.decrypt(bytes(row["pan_ciphertext"]), application_id=application_id)
        assert pan.text == PAN
        assert bytes(row["pan_blind_index"]) == index(pan)
        assert PAN.encode() not in bytes(row["pan_ciphertext"])
        assert (row["pan_masked"], row["pan_key_id"]) == ("XXXXXX234F", "1")
        assert BLIND_INDEX_KEY not in repr(index)

    async def test_needs_three_statements_without_a_key(
        self, ecs: Application, user_id: UUID
    ) -> None:
        with statement_log() as told:
            await submit(ecs, user_id)

        assert len(told) == 4
        assert told[-1] == COMMIT

    async def test_needs_six_statements_with_a_key(self, ecs: Application, user_id: UUID) -> None:
        with statement_log() as told:
            await submit(ecs, user_id, request=a_request())

        assert len(told) == 7

    async def test_leaves_nothing_when_it_refuses(
        self, ecs: Application, owner: Any, user_id: UUID
    ) -> None:
        with pytest.raises(InvalidPan):
            await submit(ecs, user_id, "ABCEE1234F")
        await submit(ecs, user_id)
        before = await owner.fetchrow(STORED)
        with pytest.raises(DuplicateApplication):
            await submit(ecs, user_id)

        assert await owner.fetchrow(STORED) == before

    async def test_of_one_pan_by_a_crowd_is_taken_once(
        self, ecs: Application, owner: Any, database: Database
    ) -> None:
        people = [await a_user(database) for _ in range(20)]

        results = await gather(*[submit(ecs, person) for person in people], return_exceptions=True)

        assert Counter(type(result) for result in results) == {UUID: 1, DuplicateApplication: 19}
        assert dict(await owner.fetchrow(STORED)) == {
            **dict.fromkeys(("applications", "changes", "accesses", "events"), 1),
        }

    async def test_of_many_pans_by_a_crowd_is_taken_once_each(
        self, ecs: Application, owner: Any, user_id: UUID
    ) -> None:
        pans = [f"ABCPE{number:04d}F" for number in range(5)] * 8

        results = await gather(*[submit(ecs, user_id, pan) for pan in pans], return_exceptions=True)

        assert Counter(type(result) for result in results) == {UUID: 5, DuplicateApplication: 35}
        assert {
            result.context["application_id"]
            for result in results
            if isinstance(result, DuplicateApplication)
        } == {result for result in results if isinstance(result, UUID)}


def a_request(key: str = "key-of-a-request", payload: str = "{}") -> KeyedRequest:
    return KeyedRequest(caller="user:1", method="POST", route="/a", key=key, payload=payload)


class TestKeyedRequest:
    def test_shows_neither_its_key_nor_what_it_says(self) -> None:
        assert "key-of" not in repr(a_request())
        assert "secret" not in repr(a_request(payload="secret"))

    async def test_of_a_crowd_has_one_effect(
        self, ecs: Application, owner: Any, user_id: UUID
    ) -> None:
        results = await gather(
            *[submit(ecs, user_id, request=a_request()) for _ in range(20)], return_exceptions=True
        )

        assert len({result for result in results if isinstance(result, UUID)}) == 1
        others = {type(result) for result in results if not isinstance(result, UUID)}
        assert others <= {IdempotencyInProgress}
        assert (await owner.fetchrow(STORED))["applications"] == 1

    async def test_is_refused_while_it_is_served_elsewhere(
        self, ecs: Application, owner: Any, user_id: UUID
    ) -> None:
        fingerprint = ecs.prequalification.idempotency.fingerprint
        scope = fingerprint("scope", "user:1", "POST", "/a", "key-of-a-request")
        lock = int.from_bytes(scope[:8], "big", signed=True)
        async with owner.transaction():
            await owner.execute("SELECT pg_advisory_xact_lock($1)", lock)
            with pytest.raises(IdempotencyInProgress):
                await submit(ecs, user_id, request=a_request())

        assert isinstance(await submit(ecs, user_id, request=a_request()), UUID)

    async def test_is_cleaned_away_after_a_day(
        self, ecs: Application, owner: Any, user_id: UUID
    ) -> None:
        for age in ("23:59", "24:01"):
            await owner.execute(
                "INSERT INTO idempotency_keys (scope, payload, result, created_at)"
                " VALUES (decode(md5($1) || md5($1), 'hex'), decode(repeat('00', 32), 'hex'), '{}',"
                " now() - CAST($2 AS text)::interval)",
                str(uuid4()),
                age,
            )

        await ecs.outbox.clean_up()

        assert await owner.fetchval("SELECT count(*) FROM idempotency_keys") == 1
