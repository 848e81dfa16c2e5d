"""Every error has the one form, says the way out, and shows nothing of our insides."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import structlog
from httpx import Response
from starlette.requests import ClientDisconnect
from structlog.testing import capture_logs

from ecs.api.exceptions import TokenRequestError
from ecs.repositories.exceptions import (
    ConflictError,
    DatabaseError,
    DatabaseUnavailable,
    InvalidValueError,
)
from ecs.services.exceptions import (
    BusinessLogicError,
    Busy,
    Conflict,
    Forbidden,
    Invalid,
    Missing,
    TooLarge,
    Unauthenticated,
)
from tests.api.small_app import SECRET_TEXT, StubEcs, client_for, plain_app, small_app
from tests.corpora import hostile_json, odd_json

HOSTILE = hostile_json()
ODD = odd_json()
MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id", "errors"}
JSON = {"Content-Type": "application/json"}


def raiser(error: Exception) -> Any:
    def act() -> None:
        raise error

    return act


async def answer_to(error: Exception, *, development: bool = False) -> Response:
    async with client_for(small_app(act=raiser(error), development=development)) as client:
        return await client.get("/api/v1/act")


def assert_problem(response: Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert set(body) == MEMBERS
    assert body["type"] == f"urn:ecs:problem:{code}"
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    return body


class OfferMissing(Missing):
    code = "offer_missing"
    detail = "No such offer."


class BadPurpose(Invalid):
    code = "bad_purpose"
    pointer = "/purpose"


class TestFamilies:
    @pytest.mark.parametrize(
        ("error", "status", "code"),
        [
            (BusinessLogicError(), 422, "business_rule"),
            (Invalid(), 422, "invalid_value"),
            (Missing(), 404, "not_found"),
            (OfferMissing(), 404, "offer_missing"),
            (Conflict(), 409, "conflict"),
            (TooLarge(), 413, "payload_too_large"),
            (Unauthenticated(), 401, "invalid_token"),
            (Forbidden(), 403, "forbidden"),
            (Busy(), 503, "busy"),
            (DatabaseUnavailable(SECRET_TEXT), 503, "busy"),
            (InvalidValueError(SECRET_TEXT), 422, "invalid_value"),
            (DatabaseError(SECRET_TEXT), 500, "internal_error"),
            (ConflictError("offers_one_active"), 409, "conflict"),
            (RuntimeError(SECRET_TEXT), 500, "internal_error"),
            (ExceptionGroup("several", [ValueError(SECRET_TEXT)]), 500, "internal_error"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
    )
    async def test_every_family_has_its_status_and_code(
        self, error: Exception, status: int, code: str
    ) -> None:
        response = await answer_to(error)

        assert_problem(response, status, code)
        assert "hunter2" not in response.text

    @pytest.mark.parametrize("error", [Busy(), DatabaseUnavailable()])
    async def test_says_when_to_come_back(self, error: Exception) -> None:
        assert (await answer_to(error)).headers["retry-after"] == "1"

    async def test_points_at_the_value(self) -> None:
        body = assert_problem(await answer_to(BadPurpose()), 422, "bad_purpose")

        assert [error["pointer"] for error in body["errors"]] == ["/purpose"]

    async def test_context_is_for_developers_only(self) -> None:
        error = Missing(table="offers_secret")

        assert "offers_secret" not in (await answer_to(error)).text
        assert "offers_secret" in (await answer_to(error, development=True)).text


class TestUnforeseen:
    async def test_production_shows_no_insides(self) -> None:
        response = await answer_to(RuntimeError(SECRET_TEXT))

        assert_problem(response, 500, "internal_error")
        for inside in ("hunter2", "Traceback", ".py", "RuntimeError", "small_app"):
            assert inside not in response.text

    async def test_development_shows_the_stack(self) -> None:
        body = (await answer_to(RuntimeError("boom"), development=True)).json()

        assert body["context"] == {"error": "RuntimeError"}
        assert any("boom" in line for line in body["stack"])

    async def test_the_stack_is_logged_once_with_the_request_id(self) -> None:
        with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
            response = await answer_to(RuntimeError("boom"))

        failed = [line for line in lines if line["event"] == "http.failed"]
        assert len(failed) == 1
        assert failed[0]["exc_info"].args == ("boom",)
        assert failed[0]["request_id"] == response.headers["x-request-id"]

    async def test_a_value_that_cannot_be_answered_is_not_logged(self) -> None:
        app = small_app()

        @app.get("/wrong")
        async def wrong() -> int:
            return "a private text"  # type: ignore[return-value]

        with capture_logs() as lines:
            async with client_for(app) as client:
                response = await client.get("/wrong")

        assert_problem(response, 500, "internal_error")
        assert "a private text" not in str(lines)

    @pytest.mark.parametrize("gone", [ClientDisconnect()])
    async def test_a_client_that_went_away_is_no_failure(self, gone: Exception) -> None:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/v1/act",
            "raw_path": b"/api/v1/act",
            "query_string": b"",
            "headers": [],
            "state": {"ecs": StubEcs()},
        }
        with capture_logs() as lines:
            await small_app(act=raiser(gone))(scope, receive, send)

        assert sent == []
        assert [(line["event"], line.get("status")) for line in lines] == [("http.request", 499)]


class TestFramework:
    async def test_unknown_address(self) -> None:
        async with client_for(small_app()) as client:
            assert_problem(await client.get("/nowhere"), 404, "not_found")

    async def test_wrong_method_names_the_right_ones(self) -> None:
        async with client_for(small_app()) as client:
            response = await client.delete("/api/v1/act")

        assert_problem(response, 405, "method_not_allowed")
        assert response.headers["allow"] == "GET"

    async def test_other_peoples_ids_random_ids_and_malformed_ids_look_alike(self) -> None:
        app = small_app(act=raiser(Missing()))
        paths = [str(uuid4()), "1", "%00", "2" * 70, str(uuid4()).upper().replace("-", "")]
        async with client_for(app, token="user") as client:
            answers = [await client.get(f"/api/v1/offers/{path}") for path in paths]

        bodies = [assert_problem(answer, 404, "not_found") for answer in answers]
        for body in bodies:
            del body["request_id"], body["instance"]
        assert all(body == bodies[0] for body in bodies)

    async def test_token_errors_speak_rfc_6749(self) -> None:
        error = TokenRequestError(
            "invalid_client", "No.", status=401, headers={"WWW-Authenticate": "Basic"}
        )
        response = await answer_to(error)

        assert response.status_code == 401
        assert response.json() == {"error": "invalid_client", "error_description": "No."}
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["pragma"] == "no-cache"
        assert response.headers["www-authenticate"] == "Basic"


PAYMENT = {"amount": "1.00", "occurred_at": "2026-01-31T09:30:00+02:00", "share": 0.5}


async def post_payments(content: bytes, **headers: str) -> Response:
    async with client_for(plain_app(), token="client") as client:
        return await client.post("/api/v1/payments", content=content, headers={**JSON, **headers})


def payments(**changes: Any) -> bytes:
    return json.dumps({"payments": [PAYMENT, PAYMENT | changes]}).encode()


class TestBodies:
    @pytest.mark.parametrize("name", HOSTILE)
    async def test_hostile_json_is_malformed(self, name: str) -> None:
        assert_problem(await post_payments(HOSTILE[name]), 400, "malformed_json")

    @pytest.mark.parametrize("name", ODD)
    async def test_odd_json_is_merely_wrong(self, name: str) -> None:
        assert_problem(await post_payments(ODD[name]), 422, "validation_failed")

    async def test_good_json_passes(self) -> None:
        response = await post_payments(payments())

        assert response.json()["count"] == 2
        assert response.json()["times"][0] == "2026-01-31T07:30:00Z"

    @pytest.mark.parametrize(
        ("changes", "pointer", "code"),
        [
            ({"amount": "1.5"}, "/payments/1/amount", "invalid_value"),
            ({"amount": "\uff11.00"}, "/payments/1/amount", "invalid_value"),
            ({"amount": "1.00\n"}, "/payments/1/amount", "invalid_value"),
            ({"amount": 1.0}, "/payments/1/amount", "invalid_type"),
            ({"occurred_at": "2026-01-31T09:30:00"}, "/payments/1/occurred_at", "invalid_value"),
            ({"occurred_at": "2026-01-31"}, "/payments/1/occurred_at", "invalid_value"),
            ({"occurred_at": 1769851800}, "/payments/1/occurred_at", "invalid_value"),
            (
                {"occurred_at": "0001-01-01T00:00:00+14:00"},
                "/payments/1/occurred_at",
                "invalid_value",
            ),
            ({"share": True}, "/payments/1/share", "invalid_type"),
            ({"share": "0.5"}, "/payments/1/share", "invalid_type"),
            ({"share": 10**400}, "/payments/1/share", "invalid_type"),
            ({"tags": [1]}, "/payments/1/tags/0", "invalid_type"),
            ({"status": "x"}, "/payments/1/status", "unknown_field"),
            ({"a/b~c": "x"}, "/payments/1/a~1b~0c", "unknown_field"),
        ],
    )
    async def test_points_at_what_is_wrong(
        self, changes: dict[str, Any], pointer: str, code: str
    ) -> None:
        body = assert_problem(await post_payments(payments(**changes)), 422, "validation_failed")

        assert [(error["pointer"], error["code"]) for error in body["errors"]] == [(pointer, code)]

    async def test_never_echoes_a_value(self) -> None:
        response = await post_payments(payments(amount="hunter2", share="hunter2"))

        assert "hunter2" not in response.text

    async def test_a_missing_body_is_missing(self) -> None:
        body = assert_problem(await post_payments(b""), 422, "validation_failed")

        assert body["errors"][0]["code"] == "missing"

    @pytest.mark.parametrize(
        "content_type",
        [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=utf-16",
            "application/jsonx",
            "json",
            "",
            "multipart/form-data",
            "application/json, text/plain",
        ],
    )
    async def test_other_media_types_are_not_read(self, content_type: str) -> None:
        response = await post_payments(payments(), **{"Content-Type": content_type})

        assert_problem(response, 415, "unsupported_media_type")

    @pytest.mark.parametrize(
        "content_type", ["application/json; charset=UTF-8", "application/ld+json"]
    )
    async def test_json_by_other_names_is_read(self, content_type: str) -> None:
        response = await post_payments(payments(), **{"Content-Type": content_type})

        assert response.status_code == 200

    @pytest.mark.parametrize("content", [b"", b"{}", b" {} "])
    async def test_an_empty_body_may_be_left_out(self, content: bytes) -> None:
        async with client_for(small_app(), token="user") as client:
            response = await client.post("/api/v1/apply", content=content, headers=JSON)

        assert response.status_code == 200

    async def test_an_empty_body_takes_no_fields(self) -> None:
        async with client_for(small_app(), token="user") as client:
            response = await client.post("/api/v1/apply", json={"limit": "1000000.00"})

        assert (
            assert_problem(response, 422, "validation_failed")["errors"][0]["pointer"] == "/limit"
        )

    async def test_a_declared_giant_is_refused_unread(self) -> None:
        response = await post_payments(b" " * 1_048_577)

        assert_problem(response, 413, "payload_too_large")

    async def test_a_streamed_giant_is_cut(self) -> None:
        sent = 0

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal sent
            for _ in range(1000):
                sent += 65_536
                yield b" " * 65_536

        async with client_for(small_app(), token="client") as client:
            response = await client.post("/api/v1/payments", content=chunks(), headers=JSON)

        assert_problem(response, 413, "payload_too_large")
        assert sent <= 1_048_576 + 2 * 65_536

    async def test_one_mebibyte_is_still_read(self) -> None:
        assert (await post_payments(payments().ljust(1_048_576))).status_code == 200


class TestQueries:
    @pytest.mark.parametrize(
        ("query", "code", "pointer"),
        [
            ("sort=x", "unknown_parameter", "?sort"),
            ("limit=2&limit=2", "repeated_parameter", "?limit"),
            ("limit=0", "validation_failed", "?limit"),
            ("limit=101", "validation_failed", "?limit"),
            ("limit=1_0", "validation_failed", "?limit"),
            ("limit=%201", "validation_failed", "?limit"),
            ("limit=%EF%BC%91", "validation_failed", "?limit"),
            ("limit=1e400", "validation_failed", "?limit"),
            ("limit=inf", "validation_failed", "?limit"),
            ("limit=", "validation_failed", "?limit"),
            ("after=", "validation_failed", "?after"),
            ("after=x", "validation_failed", "?after"),
            ("after=%00", "validation_failed", "?after"),
            ("after=AZAAAAAAcACAAAAAAAAADB", "validation_failed", "?after"),
            ("%ED%A0%80=1", "unknown_parameter", "?\ufffd\ufffd\ufffd"),
        ],
    )
    async def test_refuses_what_it_does_not_know(self, query: str, code: str, pointer: str) -> None:
        async with client_for(small_app(), token="user") as client:
            response = await client.get(f"/api/v1/offers?{query}")

        body = assert_problem(response, 422, code)
        assert [error["pointer"] for error in body["errors"]] == [pointer]

    async def test_pages_have_a_default_size(self) -> None:
        async with client_for(small_app(), token="user") as client:
            response = await client.get("/api/v1/offers")

        assert response.json() == {"limit": 20, "after": None}
