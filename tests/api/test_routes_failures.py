"""What callers see when something behind the API fails: little, and never a success."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import pytest
from httpx import Response
from structlog.testing import capture_logs

from ecs.config import RabbitSettings
from tests.api.routes_support import (
    CLOSED_PORT,
    Caller,
    Stage,
    a_transaction,
    acting,
    problem,
    settings_for,
)
from tests.builders import Database

NO_DATABASE: Final = f"postgresql://ecs_app@127.0.0.1:{CLOSED_PORT}/none"
NO_REDIS: Final = f"redis://127.0.0.1:{CLOSED_PORT}/0"
INSIDES: Final = re.compile(
    r"traceback|\.py|sqlalchemy|asyncpg|pydantic|starlette|fastapi|redis|jose|argon|postgres"
    r"|select |insert |update |ecs_app|ecs_owner|127\.0\.0\.1|/work|site-packages|exception",
    re.IGNORECASE,
)
WRITES: Final = {
    "register": "users",
    "apply": "risk_assessments",
    "accept": "outbox_events",
    "ingest": "transactions",
    "read": "notifications",
}


async def write(stage: Stage, action: str) -> Any:
    """Return a call, ready to be made, that writes into one table."""
    if action == "register":
        body = {"email": "ana@example.com", "full_name": "Ana", "password": "a quiet lake at dawn"}
        return lambda: stage.client.post("/api/v1/users", json=body)
    person = await stage.an_eligible_person()
    if action == "apply":
        return lambda: stage.client.post("/api/v1/credit/apply", headers=person.headers)
    if action == "accept":
        offer = await stage.apply(person)
        return lambda: stage.accept(person, offer["id"])
    if action == "ingest":
        feed = await stage.a_feed()
        batch = {"transactions": [a_transaction(person.id)]}
        return lambda: stage.client.post(
            "/api/v1/transactions/ingest", json=batch, headers=feed.headers
        )
    settled = await stage.a_settled_person()
    path = f"/api/v1/notifications/{settled.notification_id}/read"
    return lambda: stage.client.post(path, headers=settled.person.headers)


@pytest.mark.parametrize("action", WRITES)
async def test_a_commit_that_fails_is_never_a_success(
    action: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        call = await write(stage, action)
        await stage.run(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'a private reason'; END $$"
        )
        await stage.run(
            f"CREATE CONSTRAINT TRIGGER refuse_at_commit AFTER INSERT OR UPDATE ON {WRITES[action]}"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        rows, unread = await stage.stored(), await unread_of(stage)
        with capture_logs() as lines:
            response = await call()

        assert (await stage.stored(), await unread_of(stage)) == (rows, unread)
        await stage.run(f"DROP TRIGGER refuse_at_commit ON {WRITES[action]}")
        assert (await call()).is_success
    problem(response, 500, "internal_error")
    assert "private" not in response.text
    assert [line["event"] for line in lines] == ["http.failed", "http.request"]


async def unread_of(stage: Stage) -> list[dict[str, Any]]:
    return await stage.run("SELECT id FROM notifications WHERE read_at IS NULL ORDER BY id")


@asynccontextmanager
async def broken(
    database: Database, redis_url: str, environment: str
) -> AsyncIterator[tuple[Stage, Caller]]:
    """Start an application whose database lost a table."""
    settings = settings_for(database, redis_url, environment=environment)
    async with acting(settings) as stage:
        person = await stage.a_person()
        await stage.run("DROP TABLE notifications")
        with capture_logs():  # Printing a stack for people takes seconds.
            yield stage, person


async def test_an_unforeseen_error_shows_nothing_in_production(
    database: Database, redis_url: str
) -> None:
    async with broken(database, redis_url, "production") as (stage, person):
        response = await stage.client.get("/api/v1/notifications", headers=person.headers)

    problem(response, 500, "internal_error")
    assert INSIDES.search(response.text) is None


@pytest.mark.parametrize("environment", ["development", "test"])
async def test_an_unforeseen_error_shows_its_stack_to_developers(
    environment: str, database: Database, redis_url: str
) -> None:
    async with broken(database, redis_url, environment) as (stage, person):
        response = await stage.client.get("/api/v1/notifications", headers=person.headers)

    assert response.status_code == 500
    assert response.json()["context"]["error"]
    assert "Traceback" in "".join(response.json()["stack"])


async def refusals(stage: Stage) -> AsyncIterator[Response]:
    """Provoke one answer of every kind of refusal."""
    person, feed = await stage.an_eligible_person(), await stage.a_feed()
    offer = await stage.apply(person)
    await stage.lapse(offer["id"])
    client, theirs = stage.client, person.headers
    yield await client.get("/nowhere/' OR 1=1 --")
    yield await client.delete("/api/v1/credit/offers")
    yield await client.get("/api/v1/credit/offers")
    yield await client.get("/api/v1/credit/offers", headers={"Authorization": "Bearer x.y.z"})
    yield await client.post("/api/v1/transactions/ingest", headers=theirs)
    yield await client.get("/api/v1/credit/offers?limit=x", headers=theirs)
    yield await client.get(f"/api/v1/credit/offers/{uuid4()}", headers=theirs)
    yield await stage.accept(person, offer["id"])
    yield await client.post("/api/v1/users", content=b"{")
    yield await client.post("/api/v1/users", content=b"{", headers={"Content-Type": "text/plain"})
    yield await client.post("/api/v1/users", json={"email": 1})
    headers = {**feed.headers, "Content-Type": "application/json"}
    giant = b" " * 1_048_577
    yield await client.post("/api/v1/transactions/ingest", content=giant, headers=headers)


async def test_no_refusal_shows_anything_internal_in_production(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        answers = [answer async for answer in refusals(stage)]

    assert {answer.status_code for answer in answers} == {401, 403, 404, 405, 409, 413, 415, 422}
    for answer in answers:
        body = problem(answer, answer.status_code, answer.json()["code"])
        told = {key: value for key, value in body.items() if key != "instance"}
        assert INSIDES.search(str(told)) is None


@pytest.mark.parametrize("offered", ["abc-12345", "A.b_c-1", "x" * 128])
async def test_a_request_id_goes_all_the_way(
    offered: str, database: Database, redis_url: str
) -> None:
    headers = {"X-Request-ID": offered}
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.an_eligible_person()
        applied = await stage.client.post(
            "/api/v1/credit/apply", headers={**person.headers, **headers}
        )
        path = f"/api/v1/credit/offers/{applied.json()['id']}/accept"
        await stage.client.post(path, headers={**person.headers, **headers})
        missing = await stage.client.get("/nowhere", headers=headers)
        written = await stage.run(
            "SELECT request_id FROM risk_assessments UNION ALL SELECT request_id FROM outbox_events"
        )

    assert applied.headers["x-request-id"] == offered
    assert problem(missing, 404, "not_found")["request_id"] == offered
    assert written == [{"request_id": offered}] * 2


@pytest.mark.parametrize("offered", ["", "x" * 129, "a b", "a\tb", "<script>", "\x1b[31m", "é"])
async def test_a_harmful_request_id_is_replaced(
    offered: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        headers = [(b"x-request-id", offered.encode())]
        answer = await stage.client.get("/nowhere", headers=headers)

    assert UUID(problem(answer, 404, "not_found")["request_id"]).version == 7


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/users/me"),
        ("POST", "/api/v1/credit/apply"),
        ("GET", "/api/v1/credit/offers"),
        ("POST", "/api/v1/credit/offers/01890000-0000-7000-8000-0000000000af/accept"),
        ("GET", "/api/v1/notifications"),
    ],
    ids=["me", "apply", "offers", "accept", "notifications"],
)
async def test_without_a_database_every_route_asks_for_patience(
    method: str, path: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url, db_url=database.app_url)) as stage:
        person = await stage.a_person()
    async with acting(settings_for(database, redis_url, db_url=NO_DATABASE)) as stage:
        response = await stage.client.request(method, path, headers=person.headers)

    problem(response, 503, "busy")
    assert int(response.headers["retry-after"]) >= 1
    assert INSIDES.search(response.json()["detail"]) is None


async def test_without_a_database_nobody_registers_or_logs_in(
    database: Database, redis_url: str
) -> None:
    body = {"email": "ana@example.com", "full_name": "Ana", "password": "a quiet lake at dawn"}
    form = {"grant_type": "password", "username": body["email"], "password": body["password"]}
    async with acting(settings_for(database, redis_url, db_url=NO_DATABASE)) as stage:
        registered = await stage.client.post("/api/v1/users", json=body)
        token = await stage.client.post("/token", data=form)

    problem(registered, 503, "busy")
    assert (token.status_code, token.headers["cache-control"]) == (503, "no-store")


CUT_ALL_OTHERS: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = current_user"
    " AND datname = current_database() AND pid <> pg_backend_pid()"
)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def test_cut_connections_cost_nobody_a_request(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.a_person()
        before = await stage.client.get("/api/v1/users/me", headers=person.headers)
        async with connected(database.app_url) as cutter:
            await cutter.execute(CUT_ALL_OTHERS)
        after = await stage.client.get("/api/v1/users/me", headers=person.headers)

    assert (before.status_code, after.status_code) == (200, 200)


async def test_a_database_that_lets_nobody_in_is_a_matter_of_patience(
    database: Database, redis_url: str
) -> None:
    async with (
        acting(settings_for(database, redis_url)) as stage,
        connected(database.owner_url) as owner,
    ):
        person = await stage.a_person()
        name = await owner.fetchval("SELECT quote_ident(current_database())")
        async with connected(database.app_url) as cutter:
            await owner.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
            await cutter.execute(CUT_ALL_OTHERS)
        response = await stage.client.get("/api/v1/users/me", headers=person.headers)
        await owner.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
        after = await stage.client.get("/api/v1/users/me", headers=person.headers)

    problem(response, 503, "busy")
    assert after.status_code == 200


async def test_a_row_that_stays_locked_is_a_matter_of_patience(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.an_eligible_person()
        offer = await stage.apply(person)
        async with connected(database.owner_url) as holder, holder.transaction():
            await holder.fetch("SELECT id FROM credit_offers FOR UPDATE")
            response = await stage.accept(person, offer["id"])
        after = await stage.accept(person, offer["id"])

    problem(response, 503, "busy")
    assert response.headers["retry-after"] == "1"
    assert after.status_code == 202


@asynccontextmanager
async def a_broker() -> AsyncIterator[RabbitSettings]:
    """Greet like RabbitMQ does."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"\x01")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        yield RabbitSettings(host="127.0.0.1", port=server.sockets[0].getsockname()[1])


@pytest.mark.parametrize(
    ("down", "status", "verdict"),
    [
        ((), 200, "ready"),
        (("redis",), 200, "degraded"),
        (("rabbitmq",), 200, "degraded"),
        (("redis", "rabbitmq"), 200, "degraded"),
        (("postgresql",), 503, "unavailable"),
        (("postgresql", "redis", "rabbitmq"), 503, "unavailable"),
    ],
)
async def test_readiness_says_who_answered(
    down: tuple[str, ...], status: int, verdict: str, database: Database, redis_url: str
) -> None:
    async with a_broker() as broker:
        changes: dict[str, Any] = {} if "rabbitmq" in down else {"rabbitmq": broker}
        if "postgresql" in down:
            changes["db_url"] = NO_DATABASE
        settings = settings_for(database, NO_REDIS if "redis" in down else redis_url, **changes)
        async with acting(settings) as stage:
            ready = await stage.client.get("/ready")
            alive = [await stage.client.get(path) for path in ("/health", "/healthz")]

    dependencies = {
        name: "down" if name in down else "up" for name in ("postgresql", "redis", "rabbitmq")
    }
    assert ready.status_code == status
    assert ready.json() == {"status": verdict, "dependencies": dependencies}
    assert [(answer.status_code, answer.json()) for answer in alive] == [
        (200, {"status": "ok"})
    ] * 2


async def test_a_schema_that_is_behind_is_not_ready(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        await stage.run("UPDATE alembic_version SET version_num = '200001010000'")
        response = await stage.client.get("/ready")

    assert (response.status_code, response.json()["status"]) == (503, "unavailable")
    assert response.json()["dependencies"]["postgresql"] == "down"


async def test_without_redis_and_a_broker_the_main_job_goes_on(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, NO_REDIS)) as stage:
        settled = await stage.a_settled_person()
        path = f"/api/v1/jobs/{settled.job_id}"
        job = await stage.client.get(path, headers=settled.person.headers)

    assert job.json()["status"] == "succeeded"
