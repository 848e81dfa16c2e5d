"""Officers: what waits for them, and what they decide."""

from asyncio import gather
from typing import Any, Final
from uuid import uuid4

import pytest
from httpx import Response

from tests.api.routes_support import APPLICATIONS, Caller, Stage, acting, problem, settings_for
from tests.builders import Database

REVIEWS: Final = "/api/v1/prequalification/reviews"
APPROVED: Final = {"decision": "PRE_APPROVED", "reason": "The employer was asked."}
REJECTED: Final = {"decision": "REJECTED", "reason": "The employer is unknown."}


async def decide(
    stage: Stage, officer: Caller, application_id: object, body: Any, *, key: str | None = None
) -> Response:
    headers = officer.headers | ({} if key is None else {"Idempotency-Key": key})
    path = f"{APPLICATIONS}/{application_id}/review"
    return await stage.client.post(path, json=body, headers=headers)


class TestReview:
    @pytest.mark.parametrize(
        ("body", "approved"), [(APPROVED, "2400000.00"), (REJECTED, None)], ids=["yes", "no"]
    )
    async def test_decides_for_good(
        self, body: dict[str, str], approved: str | None, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person, officer = await stage.a_person(), await stage.a_feed()
            application_id = await stage.an_application_in_review(person)
            answer = await decide(stage, officer, application_id, body)
            path = f"{APPLICATIONS}/{application_id}/status"
            seen = (await stage.client.get(path, headers=person.headers)).json()
            again = await decide(stage, officer, application_id, body)
            reviewers = await stage.run(
                "SELECT reviewed_by FROM prequalification_status_changes ORDER BY version"
            )

        assert answer.status_code == 200
        assert answer.json() == seen
        assert (seen["status"], seen["decision_reason"]) == (body["decision"], body["reason"])
        assert seen["max_approved_amount_inr"] == approved
        assert [entry["status"] for entry in seen["history"]] == [
            *("PENDING", "MANUAL_REVIEW", body["decision"])
        ]
        assert [row["reviewed_by"] for row in reviewers] == [None, None, officer.id]
        problem(again, 409, "already_decided")

    async def test_keeps_a_reason_with_every_pan_in_it_masked(
        self, database: Database, redis_url: str
    ) -> None:
        reason = "Has ABCPE1234F, and (zzzpz9999z) before."
        async with acting(settings_for(database, redis_url)) as stage:
            application_id = await stage.an_application_in_review(await stage.a_person())
            answer = await decide(
                stage, await stage.a_feed(), application_id, REJECTED | {"reason": reason}
            )
            stored = await stage.run("SELECT decision_reason FROM prequalification_applications")

        masked = "Has XXXXXX234F, and (XXXXXX999Z) before."
        assert answer.json()["decision_reason"] == masked
        assert stored == [{"decision_reason": masked}]

    async def test_waits_until_the_rules_have_spoken(
        self, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            application_id = await stage.an_application(await stage.a_person())
            answer = await decide(stage, await stage.a_feed(), application_id, APPROVED)

        problem(answer, 409, "not_in_review")

    async def test_finds_nothing_at_an_unknown_id(self, database: Database, redis_url: str) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            answer = await decide(stage, await stage.a_feed(), uuid4(), APPROVED)

        problem(answer, 404, "application_not_found")

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"reason": ""}, "/reason"),
            ({"reason": " \n "}, "/reason"),
            ({"reason": "a" * 1001}, "/reason"),
            ({"reason": "a\u202eb"}, "/reason"),
            ({"reason": None}, "/reason"),
            ({"decision": "MANUAL_REVIEW"}, "/decision"),
            ({"decision": "PENDING"}, "/decision"),
            ({"max_approved_amount_inr": "1.00"}, "/max_approved_amount_inr"),
        ],
    )
    async def test_refuses_a_bad_field_and_names_it(
        self, changes: dict[str, Any], pointer: str, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            application_id = await stage.an_application_in_review(await stage.a_person())
            officer = await stage.a_feed()
            answer = await decide(stage, officer, application_id, APPROVED | changes)
            missing = await decide(stage, officer, application_id, {"decision": "REJECTED"})

        (error,) = problem(answer, 422, "validation_failed")["errors"]
        assert error["pointer"] == pointer
        problem(missing, 422, "validation_failed")

    async def test_of_two_officers_has_one_winner(self, database: Database, redis_url: str) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person, officer = await stage.a_person(), await stage.a_feed()
            for _ in range(10):
                application_id = await stage.an_application_in_review(person)
                answers = await gather(
                    decide(stage, officer, application_id, APPROVED),
                    decide(stage, officer, application_id, REJECTED),
                )
                lost, won = sorted(answers, key=lambda answer: -answer.status_code)
                assert (won.status_code, lost.status_code) == (200, 409)
                assert lost.json()["code"] == "already_decided"
                assert len(won.json()["history"]) == 3

            (row,) = await stage.run(
                "SELECT count(*) AS all, count(reviewed_by) AS by_officers"
                " FROM prequalification_status_changes"
            )
        assert row == {"all": 30, "by_officers": 10}

    async def test_under_a_key_is_answered_again_alike(
        self, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person, officer = await stage.a_person(), await stage.a_feed()
            one, other = [await stage.an_application_in_review(person) for _ in range(2)]
            first = await decide(stage, officer, one, APPROVED, key="a-key-of-1")
            again = await decide(stage, officer, one, APPROVED, key="a-key-of-1")
            in_capitals = await decide(stage, officer, one.upper(), APPROVED, key="a-key-of-1")
            elsewhere = await decide(stage, officer, other, APPROVED, key="a-key-of-1")

        assert (first.status_code, again.status_code) == (200, 200)
        assert again.content == first.content == in_capitals.content
        assert again.headers["idempotency-replayed"] == "true"
        assert in_capitals.headers["idempotency-replayed"] == "true"
        problem(elsewhere, 422, "idempotency_key_reused")


class TestReviews:
    async def test_are_everybodys_and_the_oldest_comes_first(
        self, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            officer = await stage.a_feed()
            await stage.an_application(await stage.a_person())
            waiting = [
                await stage.an_application_in_review(await stage.a_person()) for _ in range(3)
            ]
            headers = officer.headers
            first = (await stage.client.get(f"{REVIEWS}?limit=2", headers=headers)).json()
            query = {"limit": 2, "after": first["next_cursor"]}
            rest = (await stage.client.get(REVIEWS, params=query, headers=headers)).json()
            await decide(stage, officer, waiting[0], REJECTED)
            left = (await stage.client.get(REVIEWS, headers=headers)).json()

        assert [item["application_id"] for item in first["data"]] == waiting[:2]
        assert [item["application_id"] for item in rest["data"]] == waiting[2:]
        assert (first["has_more"], rest["has_more"]) == (True, False)
        assert [item["application_id"] for item in left["data"]] == waiting[1:]
