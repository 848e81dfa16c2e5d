"""What the API measures of requests, and the page where Prometheus reads it."""

import asyncio
import re
import threading
from collections.abc import Iterator
from typing import Any, Final
from uuid import uuid4

import pytest
from fastapi import FastAPI
from httpx import Response
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs

from ecs.api import metrics, middleware
from ecs.api.app import create_app
from ecs.domain.measures import HTTP_ANSWERS, HTTP_IN_PROGRESS, HTTP_SECONDS
from ecs.integrations.telemetry import prometheus
from ecs.integrations.telemetry.prometheus import PrometheusMeasures
from ecs.telemetry import Telemetry
from tests.api.routes_support import CLOSED_PORT, Nowhere, problem, timeless
from tests.api.small_app import Act, client_for, small_app
from tests.builders import settings_for

ACT: Final = "/api/v1/act"
Series = tuple[str, str, str]


def watching() -> Telemetry:
    """Return telemetry that keeps the measures of requests alone: quick to make and to read."""
    measures = PrometheusMeasures([HTTP_SECONDS, HTTP_ANSWERS, HTTP_IN_PROGRESS])
    return Telemetry(measures=measures, exposition=measures.exposition)


def samples(telemetry: Telemetry, name: str) -> Iterator[tuple[dict[str, str], float]]:
    assert telemetry.exposition is not None
    for family in text_string_to_metric_families(telemetry.exposition().decode()):
        for sample in family.samples:
            if sample.name == name:
                yield sample.labels, sample.value


def shown(telemetry: Telemetry) -> dict[Series, float]:
    """Return how many requests are shown, by method, route and status."""
    return {
        (labels["method"], labels["route"], labels["status"]): value
        for labels, value in samples(telemetry, f"{HTTP_SECONDS.name}_count")
    }


def counted(telemetry: Telemetry) -> dict[Series, float]:
    """Return how many requests were counted, where there were any."""
    return {series: value for series, value in shown(telemetry).items() if value}


def answers(telemetry: Telemetry) -> dict[str, float]:
    """Return how many answers there were, by the first digit of their status."""
    found = samples(telemetry, HTTP_ANSWERS.name)
    return {labels["status_class"]: value for labels, value in found}


async def counted_of(*requests: tuple[str, str], act: Act = lambda: None) -> dict[Series, float]:
    telemetry = watching()
    async with client_for(small_app(act=act, telemetry=telemetry), token="user") as client:
        for method, path in requests:
            await client.request(method, path)
    return counted(telemetry)


def raiser(error: Exception) -> Act:
    def act() -> Any:
        raise error

    return act


class TestARequest:
    async def test_is_counted_by_the_template_of_its_route(self) -> None:
        paths = [("GET", f"/api/v1/offers/{uuid4()}") for _ in range(3)]

        assert await counted_of(*paths, ("GET", ACT)) == {
            ("GET", "/api/v1/offers/{offer_id}", "200"): 3,
            ("GET", ACT, "200"): 1,
        }

    async def test_that_is_refused_is_counted_by_what_it_was_told(self) -> None:
        assert await counted_of(
            ("GET", "/api/v1/offers/odd"), ("GET", "/nowhere"), ("PUT", "/nowhere/else")
        ) == {
            ("GET", "/api/v1/offers/{offer_id}", "404"): 1,
            ("GET", "unmatched", "404"): 1,
            ("PUT", "unmatched", "404"): 1,
        }

    @pytest.mark.parametrize("method", ["BREW", "TRACE", "PROPFIND", "X" * 100])
    async def test_by_a_method_of_the_clients_own_is_another(self, method: str) -> None:
        (series,) = await counted_of((method, "/nowhere"))

        assert series == ("other", "unmatched", "404")

    async def test_that_fails_is_a_500(self) -> None:
        series = await counted_of(("GET", ACT), act=raiser(ZeroDivisionError()))

        assert series == {("GET", ACT, "500"): 1}

    async def test_that_fails_first_is_seen_by_a_rate_that_began_at_nought(self) -> None:
        telemetry = watching()
        assert answers(telemetry) == dict.fromkeys(HTTP_ANSWERS.labels["status_class"], 0)
        app = small_app(act=raiser(ZeroDivisionError()), telemetry=telemetry)
        async with client_for(app, token="user") as client:
            await client.get(ACT)
            await client.get("/nowhere")

        assert answers(telemetry) == {"1xx": 0, "2xx": 0, "3xx": 0, "4xx": 1, "5xx": 1}

    @pytest.mark.parametrize("path", sorted(metrics.HEALTH_PATHS))
    async def test_about_our_health_thins_no_errors_out(self, path: str) -> None:
        telemetry = watching()
        await ask(path=path, telemetry=telemetry)

        assert len(counted(telemetry)) == 1
        assert sum(answers(telemetry).values()) == 0

    async def test_whose_client_left_is_a_499(self) -> None:
        async def left(scope: Scope, receive: Receive, send: Send) -> None:
            raise ClientDisconnect

        telemetry = watching()
        await surrounded(left, telemetry)(a_scope(), receive_nothing, send_nowhere)

        assert counted(telemetry) == {("GET", "unmatched", "499"): 1}

    async def test_that_is_cut_off_is_a_499(self) -> None:
        telemetry, held = watching(), Held()
        task = asyncio.create_task(held.ask(telemetry))
        await held.entered.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert counted(telemetry) == {("GET", "unmatched", "499"): 1}
        assert in_progress(telemetry) == 0

    async def test_is_in_progress_until_it_is_answered(self) -> None:
        telemetry, held = watching(), Held()
        task = asyncio.create_task(held.ask(telemetry))
        await held.entered.wait()
        assert in_progress(telemetry) == 1
        held.leave.set()
        await task

        assert in_progress(telemetry) == 0

    async def test_takes_as_long_as_it_took(self) -> None:
        telemetry = watching()
        async with client_for(small_app(telemetry=telemetry)) as client:
            await client.get(ACT)
        ((_, seconds),) = samples(telemetry, f"{HTTP_SECONDS.name}_sum")

        assert 0 < seconds < 10

    @given(method=st.text(min_size=1), path=st.text(), status=st.integers(100, 599))
    def test_never_has_a_label_that_a_client_wrote(
        self, method: str, path: str, status: int
    ) -> None:
        telemetry = watching()
        asyncio.run(answered(telemetry, status, {"method": method, "path": f"/{path}"}))
        ((found_method, route, found_status),) = counted(telemetry)

        assert found_method == (method if method in metrics.METHODS else "other")
        assert (route, found_status) == ("unmatched", str(status))


class Held:
    """A request that waits until it may leave."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.leave = asyncio.Event()

    async def ask(self, telemetry: Telemetry) -> None:
        await surrounded(self._wait, telemetry)(a_scope(), receive_nothing, send_nowhere)

    async def _wait(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.entered.set()
        await self.leave.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})


def surrounded(app: ASGIApp, telemetry: Telemetry) -> ASGIApp:
    limited = middleware.ConcurrencyLimitMiddleware(
        app, requests_max=9, measures=telemetry.measures
    )
    return middleware.RequestContextMiddleware(
        limited, development=False, measures=telemetry.measures
    )


def in_progress(telemetry: Telemetry) -> float:
    ((_, value),) = samples(telemetry, HTTP_IN_PROGRESS.name)
    return value


def a_scope() -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": "/", "headers": [], "client": None}


async def answered(telemetry: Telemetry, status: int, asked: dict[str, str]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})

    await surrounded(app, telemetry)(a_scope() | asked, receive_nothing, send_nowhere)


async def receive_nothing() -> Message:
    return {"type": "http.disconnect"}


async def send_nowhere(message: Message) -> None:
    pass


def the_app(telemetry: Telemetry) -> FastAPI:
    """Return the whole application; nothing of it is opened."""
    redis_url = f"redis://127.0.0.1:{CLOSED_PORT}/0"
    return create_app(settings_for(Nowhere(), redis_url), telemetry)


async def ask(
    method: str = "GET", path: str = metrics.PATH, *, telemetry: Telemetry, **headers: str
) -> Response:
    async with client_for(the_app(telemetry)) as client:
        return await client.request(
            method, path, headers={name.replace("_", "-"): headers[name] for name in headers}
        )


class TestEveryRoute:
    def test_begins_at_nought_for_what_it_hopes_to_answer(self) -> None:
        telemetry = watching()
        the_app(telemetry)
        found = shown(telemetry)

        assert set(found.values()) == {0}
        apply = ("POST", "/api/v1/credit/apply")
        assert {(*apply, "200"), (*apply, "201"), ("GET", "/health", "200")} <= set(found)
        assert {status[0] for _, _, status in found} == {"2"}

    async def test_is_counted_where_it_began(self) -> None:
        telemetry = watching()
        app = the_app(telemetry)
        begun = set(shown(telemetry))
        templates = {(method, route) for method, route, _ in begun}
        async with client_for(app) as client:
            for method, route in sorted(templates):
                await client.request(method, re.sub(r"{.*?}", str(uuid4()), route))

        assert {(method, route) for method, route, _ in shown(telemetry)} == templates


class TestMetrics:
    async def test_shows_everything_this_process_measures(self) -> None:
        everything = PrometheusMeasures()
        telemetry = Telemetry(measures=everything, exposition=everything.exposition)
        async with client_for(the_app(telemetry)) as client:
            await client.get("/health")
            page = await client.get(metrics.PATH)

        assert page.status_code == 200
        assert page.headers["content-type"] == prometheus.CONTENT_TYPE
        assert page.headers["cache-control"] == "no-store"
        assert counted(telemetry) == {("GET", "/health", "200"): 1}
        names = {family.name for family in text_string_to_metric_families(page.text)}
        assert {"ecs_http_requests_in_progress", "ecs_credit_decisions"} <= names

    async def test_is_measured_as_little_as_it_is_logged(self) -> None:
        telemetry = watching()
        with capture_logs() as lines:
            answer = await ask(telemetry=telemetry)

        assert answer.status_code == 200
        assert lines == []
        assert counted(telemetry) == {}

    async def test_is_put_together_beside_the_loop_that_answers_others(self) -> None:
        threads: list[threading.Thread] = []

        def exposition() -> bytes:
            threads.append(threading.current_thread())
            return b""

        await ask(telemetry=Telemetry(exposition=exposition))

        assert threads
        assert threading.main_thread() not in threads

    async def test_is_shown_while_the_process_is_full(self) -> None:
        telemetry, arrived, leave = watching(), 0, asyncio.Event()
        full = asyncio.Event()
        app = small_app(telemetry=telemetry)

        @app.get("/wait")
        async def wait() -> None:
            nonlocal arrived
            arrived += 1
            if arrived == middleware.REQUESTS_MAX:
                full.set()
            await leave.wait()

        async with client_for(app) as client, asyncio.TaskGroup() as tasks:
            for _ in range(middleware.REQUESTS_MAX):
                tasks.create_task(client.get("/wait"))
            await full.wait()
            refused, shown = await client.get(ACT), await client.get(metrics.PATH)
            leave.set()

        assert refused.status_code == 503
        assert shown.status_code == 200
        assert f"{HTTP_IN_PROGRESS.name} {middleware.REQUESTS_MAX}.0" in shown.text

    @pytest.mark.parametrize("address", ["203.0.113.7", "127.0.0.1", "", "a, b"])
    async def test_is_no_address_for_whoever_came_through_a_proxy(self, address: str) -> None:
        telemetry = watching()
        asked = await ask(telemetry=telemetry, X_Forwarded_For=address)
        unknown = await ask(path="/nowhere", telemetry=telemetry, X_Forwarded_For=address)

        assert timeless(asked.json()) == timeless(unknown.json())
        assert asked.headers.keys() == unknown.headers.keys()
        assert counted(telemetry) == {("GET", "unmatched", "404"): 2}

    @pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
    async def test_is_no_address_where_nothing_is_measured(self, method: str) -> None:
        answer = await ask(method, telemetry=Telemetry())

        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize("path", ["/metrics/", "//metrics", "/METRICS", "/metrics/x", "/x/.."])
    async def test_is_at_one_address_alone(self, path: str) -> None:
        assert (await ask(path=path, telemetry=watching())).status_code == 404

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "BREW"])
    async def test_can_only_be_read(self, method: str) -> None:
        telemetry = watching()
        async with client_for(small_app(telemetry=telemetry)) as client:
            answer = await client.request(method, metrics.PATH)

        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
        if method != "HEAD":
            problem(answer, 405, "method_not_allowed")
        ((_, route, status),) = counted(telemetry)
        assert (route, status) == ("unmatched", "405")

    def test_is_no_part_of_what_is_described(self) -> None:
        assert metrics.PATH not in the_app(watching()).openapi()["paths"]

    def test_has_the_type_of_what_prometheus_client_writes(self) -> None:
        assert metrics.CONTENT_TYPE == prometheus.CONTENT_TYPE
