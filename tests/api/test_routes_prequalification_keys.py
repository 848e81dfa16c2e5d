"""The ``Idempotency-Key``: one effect for a request, however often it is sent."""

from asyncio import gather
from typing import Final

import pytest

from tests.api.routes_support import (
    APPLICATIONS,
    a_loan_application,
    acting,
    idle_app,
    problem,
    settings_for,
)
from tests.builders import Database

KEY: Final = "order-4711"
PAN: Final = "AAAPA1111A"
MALFORMED: Final = {
    "empty": b"",
    "too short": b"1234567",
    "too long": b"k" * 129,
    "blank inside": b"12345 678",
    "not ASCII": "schl\u00fcssel-1".encode(),
    "control": b"1234567\x01",
    "short in quotes": b'"1234567"',
    "only quotes": b'""',
}


class TestIdempotencyKey:
    async def test_gives_the_same_answer_again(self, database: Database, redis_url: str) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            first = await stage.submit(person, key=KEY, pan_number=PAN)
            before = await stage.stored()
            again = await stage.submit(person, key=f'"{KEY}"', pan_number=PAN)
            assert await stage.stored() == before

        assert (first.status_code, again.status_code) == (202, 202)
        assert again.content == first.content
        assert again.headers["location"] == first.headers["location"]
        assert again.headers["idempotency-replayed"] == "true"
        assert "idempotency-replayed" not in first.headers

    async def test_knows_a_request_by_what_it_means(
        self, database: Database, redis_url: str
    ) -> None:
        spelled = {"pan_number": f" {PAN.lower()}", "monthly_income_inr": 50_000}
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            first = await stage.submit(person, key=KEY, pan_number=PAN)
            again = await stage.submit(person, key=KEY, **spelled)

        assert again.content == first.content

    @pytest.mark.parametrize(
        "changes", [{"monthly_income_inr": "50000.01"}, {"applicant_name": "B"}, {}]
    )
    async def test_stands_for_one_request(
        self, changes: dict[str, str], database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            await stage.submit(person, key=KEY, pan_number=PAN)
            pan = {"pan_number": PAN} if changes else {}
            answer = await stage.submit(person, key=KEY, **pan, **changes)

        problem(answer, 422, "idempotency_key_reused")

    async def test_belongs_to_its_caller(self, database: Database, redis_url: str) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            one = await stage.submit(await stage.a_person(), key=KEY)
            other = await stage.submit(await stage.a_person(), key=KEY)

        assert one.json()["application_id"] != other.json()["application_id"]

    async def test_keeps_no_refusal(self, database: Database, redis_url: str) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person, other = await stage.a_person(), await stage.a_person()
            await stage.an_application(other, pan_number=PAN)
            refused = await stage.submit(person, key=KEY, pan_number=PAN)
            assert (await stage.stored())["idempotency_keys"] == 0
            await stage.run(
                "UPDATE prequalification_applications"
                " SET status = 'REJECTED', decision_reason = 'x', policy = 'p'"
            )
            taken = await stage.submit(person, key=KEY, pan_number=PAN)

        assert (refused.status_code, taken.status_code) == (409, 202)

    async def test_is_forgotten_after_a_day(self, database: Database, redis_url: str) -> None:
        age = "UPDATE idempotency_keys SET created_at = now() - CAST($1::text AS interval)"
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            first = await stage.submit(person, key=KEY)
            await stage.run(age, "23:59")
            reused = await stage.submit(person, key=KEY)
            await stage.run(age, "24:01")
            fresh = await stage.submit(person, key=KEY)
            again = await stage.run("SELECT count(*) AS rows FROM idempotency_keys")

        problem(reused, 422, "idempotency_key_reused")
        assert fresh.status_code == 202
        assert fresh.json()["application_id"] != first.json()["application_id"]
        assert again == [{"rows": 1}]

    async def test_is_stored_as_hmacs_with_nothing_personal(
        self, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            submitted = await stage.submit(await stage.a_person(), key=KEY)
            (row,) = await stage.run("SELECT * FROM idempotency_keys")

        assert len(row["scope"]) == len(row["payload"]) == 32
        assert KEY not in str(row)
        assert "Asha" not in str(row)
        assert submitted.json()["application_id"] in row["result"]

    @pytest.mark.parametrize("name", MALFORMED)
    async def test_is_refused_when_malformed(
        self, name: str, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            raw = [(b"idempotency-key", MALFORMED[name])]
            headers = [*((k.encode(), v.encode()) for k, v in person.headers.items()), *raw]
            answer = await stage.client.post(
                APPLICATIONS, json=a_loan_application(), headers=headers
            )
            twice = await stage.client.post(
                APPLICATIONS,
                json=a_loan_application(),
                headers=[*headers[:-1], *((b"idempotency-key", KEY.encode()),) * 2],
            )
            assert (await stage.stored())["prequalification_applications"] == 0

        problem(answer, 400, "invalid_idempotency_key")
        problem(twice, 400, "invalid_idempotency_key")

    async def test_of_a_crowd_has_one_effect(self, database: Database, redis_url: str) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            body = a_loan_application()
            answers = await gather(*[stage.submit(person, key=KEY, **body) for _ in range(20)])
            stored = await stage.stored()

        served = [answer for answer in answers if answer.status_code == 202]
        assert served
        assert len({answer.content for answer in served}) == 1
        assert sum("idempotency-replayed" not in answer.headers for answer in served) == 1
        for answer in answers:
            if answer.status_code != 202:
                problem(answer, 409, "idempotency_in_progress")
        assert stored["prequalification_applications"] == stored["outbox_events"] == 1
        assert stored["idempotency_keys"] == stored["audit_log"] == 1

    def test_is_described_where_it_is_taken(self) -> None:
        taking = {
            path
            for path, item in idle_app().openapi()["paths"].items()
            for operation in item.values()
            for parameter in operation.get("parameters", [])
            if parameter["name"] == "Idempotency-Key"
        }

        assert taking == {APPLICATIONS, f"{APPLICATIONS}/{{application_id}}/review"}
        for path in taking:
            responses = idle_app().openapi()["paths"][path]["post"]["responses"]
            assert {"400", "409", "422"} <= set(responses)
            assert any(
                "Idempotency-Replayed" in one.get("headers", {}) for one in responses.values()
            )
