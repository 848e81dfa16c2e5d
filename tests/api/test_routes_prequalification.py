"""Applications for prequalification over HTTP: handed in, followed, listed."""

from datetime import datetime
from typing import Any, Final

import pytest

from tests.api.routes_support import (
    APPLICATIONS,
    Caller,
    Stage,
    a_loan_application,
    acting,
    problem,
    settings_for,
    timeless,
)
from tests.builders import TEST_PANS, Database
from tests.corpora import pan_variants

PAN: Final = "AAAPA1111A"
VARIANTS: Final = pan_variants()
GOOD_AMOUNTS: Final[list[tuple[float | str, str]]] = [
    *((1, "1.00"), (0.01, "0.01"), (0.1, "0.10"), (50_000.5, "50000.50"), ("0.01", "0.01")),
    *((99_999_999.99, "99999999.99"), (100_000_000, "100000000.00"), (1e5, "100000.00")),
    *(("100000000", "100000000.00"), ("75000.5", "75000.50"), (75_000.0, "75000.00")),
]
BAD_AMOUNTS: Final[list[Any]] = [
    *(0, -1, -0.0, 0.0, 0.001, 1.005, 0.1 + 0.2, 1e-7, 100_000_000.01, 100_000_001, 1e300, 10**400),
    *("0", "0.00", "-1", "+1", "1e5", " 1", "1 ", "1_000", "1,000", "1.", ".5", "1.005", "", "NaN"),
    *("Infinity", "\u0661\u0662\u0663", "\uff11", "007", "100000000.01", "1\n", "0x10", "1" * 5000),
    *(True, False, None, [], {}, [1]),
]
STATUS_FIELDS: Final = {
    *("application_id", "status", "pan_number_masked", "applicant_name", "loan_type"),
    *("loan_amount_inr", "monthly_income_inr", "cibil_score", "decision_reason"),
    *("max_approved_amount_inr", "created_at", "updated_at", "history"),
}


async def show(stage: Stage, person: Caller, application_id: str) -> dict[str, Any]:
    path = f"{APPLICATIONS}/{application_id}/status"
    answer = await stage.client.get(path, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


class TestSubmit:
    async def test_answers_at_once_and_says_where_to_look(
        self, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            answer = await stage.submit(person)
            body = answer.json()
            followed = await stage.client.get(answer.headers["location"], headers=person.headers)

        assert answer.status_code == 202
        assert set(body) == {"application_id", "status", "created_at"}
        assert body["status"] == "PENDING"
        assert body["created_at"].endswith("Z")
        assert "idempotency-replayed" not in answer.headers
        assert followed.json()["application_id"] == body["application_id"]

    @pytest.mark.parametrize("name", VARIANTS)
    async def test_takes_one_pan_in_every_spelling_and_no_other(
        self, name: str, database: Database, redis_url: str
    ) -> None:
        text, canonical = VARIANTS[name]
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            answer = await stage.submit(person, pan_number=text)
            if canonical is not None:
                again = await stage.submit(person, pan_number=canonical)
                problem_with(again.json(), 409, "duplicate_application")
            stored = await stage.stored()

        assert answer.status_code == (422 if canonical is None else 202)
        assert stored["prequalification_applications"] == (canonical is not None)
        if canonical is None:
            (error,) = answer.json()["errors"]
            assert error["pointer"] == "/pan_number"

    @pytest.mark.parametrize("pan", TEST_PANS)
    async def test_takes_the_pans_of_tests_where_they_are_allowed(
        self, pan: str, database: Database, redis_url: str
    ) -> None:
        allowed = {"environment": "test", "prequalification_test_pans": ",".join(TEST_PANS)}
        async with acting(settings_for(database, redis_url, **allowed)) as stage:
            taken = await stage.submit(await stage.a_person(), pan_number=pan.lower())
        async with acting(settings_for(database, redis_url)) as stage:
            refused = await stage.submit(await stage.a_person(), pan_number=pan)

        assert taken.status_code == 202
        assert problem(refused, 422, "invalid_pan")["errors"][0]["pointer"] == "/pan_number"

    @pytest.mark.parametrize(("written", "shown"), GOOD_AMOUNTS)
    async def test_keeps_amounts_to_the_paisa(
        self, written: float | str, shown: str, database: Database, redis_url: str
    ) -> None:
        amounts = {"monthly_income_inr": written, "loan_amount_inr": written}
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            seen = await show(stage, person, await stage.an_application(person, **amounts))

        assert (seen["monthly_income_inr"], seen["loan_amount_inr"]) == (shown, shown)

    async def test_takes_the_largest_loan(self, database: Database, redis_url: str) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            largest = await stage.submit(person, loan_amount_inr=1_000_000_000)
            beyond = await stage.submit(person, loan_amount_inr="1000000000.01")

        assert largest.status_code == 202
        (error,) = problem(beyond, 422, "validation_failed")["errors"]
        assert (error["pointer"], error["code"]) == ("/loan_amount_inr", "out_of_range")

    async def test_refuses_what_is_no_amount_and_names_the_field(
        self, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            for bad in BAD_AMOUNTS:
                answer = await stage.submit(person, monthly_income_inr=bad)
                (error,) = problem(answer, 422, "validation_failed")["errors"]
                assert error["pointer"] == "/monthly_income_inr", bad
            assert (await stage.stored())["prequalification_applications"] == 0

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"applicant_name": ""}, "/applicant_name"),
            ({"applicant_name": "A\u0000"}, "/applicant_name"),
            ({"applicant_name": "A" * 201}, "/applicant_name"),
            ({"loan_type": "personal"}, "/loan_type"),
            ({"loan_type": None}, "/loan_type"),
            ({"pan_number": 1}, "/pan_number"),
            ({"pan_number": "A" * 65}, "/pan_number"),
            ({"status": "PRE_APPROVED"}, "/status"),
            ({"user_id": "1"}, "/user_id"),
        ],
    )
    async def test_refuses_a_bad_field_and_names_it(
        self, changes: dict[str, Any], pointer: str, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            answer = await stage.submit(await stage.a_person(), **changes)

        (error,) = problem(answer, 422, "validation_failed")["errors"]
        assert error["pointer"] == pointer

    async def test_names_every_bad_field_at_once(self, database: Database, redis_url: str) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            answer = await stage.client.post(APPLICATIONS, json={}, headers=person.headers)

        errors = problem(answer, 422, "validation_failed")["errors"]
        assert {error["pointer"] for error in errors} == {
            f"/{name}" for name in a_loan_application()
        }

    async def test_tells_only_the_owner_of_a_duplicate_which_one_stands(
        self, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person, stranger = await stage.a_person(), await stage.a_person()
            standing = await stage.an_application(person, pan_number=PAN)
            own = (await stage.submit(person, pan_number=PAN.lower())).json()
            strange = await stage.submit(stranger, pan_number=PAN)

        problem_with(own, 409, "duplicate_application")
        assert own.pop("application_id") == standing
        assert timeless(own) == timeless(problem(strange, 409, "duplicate_application"))

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ("status = 'REJECTED', decision_reason = 'x', policy = 'p'", 202),
            ("status = 'MANUAL_REVIEW', decision_reason = 'x', policy = 'p'", 409),
            ("duplicate_period = tstzrange(now() - interval '30 days', now())", 202),
            ("duplicate_period = tstzrange(now() - interval '29 days', now() + '1 day')", 409),
        ],
    )
    async def test_counts_what_is_active_in_the_last_thirty_days(
        self, change: str, status: int, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            await stage.an_application(person, pan_number=PAN)
            await stage.run(f"UPDATE prequalification_applications SET {change}")
            answer = await stage.submit(person, pan_number=PAN)

        assert answer.status_code == status, answer.text


class TestStatus:
    async def test_shows_what_was_handed_in_and_only_the_mask(
        self, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            application_id = await stage.an_application(person, pan_number=PAN)
            seen = await show(stage, person, application_id)

        assert set(seen) == STATUS_FIELDS
        assert seen["history"] == [{"status": "PENDING", "at": seen["created_at"]}]
        assert {name: seen[name] for name in STATUS_FIELDS - {"history", "created_at"}} == {
            "application_id": application_id,
            "status": "PENDING",
            "pan_number_masked": "XXXXXX111A",
            "applicant_name": "Asha Rao",
            "loan_type": "PERSONAL",
            "loan_amount_inr": "2000000.00",
            "monthly_income_inr": "50000.00",
            "cibil_score": None,
            "decision_reason": None,
            "max_approved_amount_inr": None,
            "updated_at": seen["created_at"],
        }

    async def test_shows_the_score_and_the_whole_history(
        self, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            application_id = await stage.an_application_in_review(person)
            await stage.run(
                "INSERT INTO credit_reports (application_id, cibil_score, bureau)"
                " SELECT id, 700, 'test' FROM prequalification_applications"
            )
            seen = await show(stage, person, application_id)

        assert (seen["status"], seen["cibil_score"]) == ("MANUAL_REVIEW", 700)
        assert [entry["status"] for entry in seen["history"]] == ["PENDING", "MANUAL_REVIEW"]
        instants = [datetime.fromisoformat(entry["at"]) for entry in seen["history"]]
        assert instants == sorted(instants)

    async def test_of_another_person_is_not_found(self, database: Database, redis_url: str) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            application_id = await stage.an_application(await stage.a_person())
            stranger = await stage.a_person()
            path = f"{APPLICATIONS}/{application_id}/status"
            answer = await stage.client.get(path, headers=stranger.headers)

        problem(answer, 404, "application_not_found")


class TestWithoutPans:
    async def test_masks_a_pan_that_stands_in_a_name(
        self, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            application_id = await stage.an_application(person, applicant_name=f"Asha {PAN}")
            seen = await show(stage, person, application_id)

        assert seen["applicant_name"] == "Asha XXXXXX111A"


class TestList:
    async def test_shows_one_status_or_all(self, database: Database, redis_url: str) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person = await stage.a_person()
            pending = await stage.an_application(person)
            in_review = await stage.an_application_in_review(person)
            found = {
                status: [item["application_id"] for item in await listed(stage, person, status)]
                for status in ("PENDING", "MANUAL_REVIEW", "REJECTED", None)
            }
            (shown,) = await listed(stage, person, "PENDING")
            assert shown == await show(stage, person, pending)

        assert found == {
            "PENDING": [pending],
            "MANUAL_REVIEW": [in_review],
            "REJECTED": [],
            None: [in_review, pending],
        }


async def listed(stage: Stage, person: Caller, status: str | None) -> list[dict[str, Any]]:
    query = {} if status is None else {"status": status}
    answer = await stage.client.get(APPLICATIONS, params=query, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


def problem_with(body: dict[str, Any], status: int, code: str) -> None:
    assert (body["status"], body["code"]) == (status, code)
