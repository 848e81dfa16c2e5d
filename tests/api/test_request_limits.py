"""How large a request may be and how slowly it may come, whatever stands in front of the API."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import pytest
from fastapi import FastAPI
from httpx import Response

from ecs.api import error_handlers, middleware
from ecs.api.request_limits import RequestLimits
from tests.api.small_app import client_for, plain_app, small_app

TIGHT: Final = RequestLimits(body_seconds_max=0.05, body_bytes_per_second_min=1_000)
JSON: Final = {"Content-Type": "application/json"}
PAYMENTS: Final = "/api/v1/payments"


def hurried_app() -> FastAPI:
    """Return the small application, which waits for bodies no longer than TIGHT says."""
    app = small_app()
    app.user_middleware.clear()
    error_handlers.install(app, development=False)
    middleware.install(app, development=False, limits=TIGHT)
    return app


async def said(response: Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


@pytest.mark.parametrize("address", ["/" + "a" * 8_192, "/health?a=" + "a" * 8_192])
async def test_a_long_address_is_refused(address: str) -> None:
    async with client_for(plain_app()) as client:
        assert await said(await client.get(address)) == (414, "uri_too_long")


@pytest.mark.parametrize(
    "lines",
    [[(f"x-{number}", "1") for number in range(101)], [("x", "a" * 32_768)]],
    ids=["many", "long"],
)
async def test_a_large_head_is_refused(lines: list[tuple[str, str]]) -> None:
    async with client_for(plain_app()) as client:
        response = await client.get("/api/v1/act", headers=lines)

    assert await said(response) == (431, "request_header_fields_too_large")


async def test_a_head_below_the_limits_is_read() -> None:
    lines = [(f"x-{number}", "a" * 300) for number in range(90)]
    async with client_for(plain_app()) as client:
        assert (await client.get("/api/v1/act", headers=lines)).status_code == 200


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def silence() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with client_for(hurried_app(), token="client") as client:
        response = await client.post(PAYMENTS, content=silence(), headers=JSON)

    assert await said(response) == (408, "request_timeout")
    assert response.headers["connection"] == "close"


async def test_what_has_come_earns_a_body_more_time() -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b" " * 500  # Half a second's worth, in a twentieth of one.
            await asyncio.sleep(0.05)
        yield b"{}"

    async with client_for(hurried_app(), token="client") as client:
        response = await client.post(PAYMENTS, content=slowly(), headers=JSON)

    assert response.status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/v1/act", "GET"),
        ("POST", "/docs", "GET, HEAD"),
        ("POST", "/docs/static/favicon.png", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(method: str, path: str, allowed: str) -> None:
    async with client_for(plain_app()) as client:
        response = await client.request(method, path)

    assert await said(response) == (405, "method_not_allowed")
    assert response.headers["allow"] == allowed
