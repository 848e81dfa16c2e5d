"""Request ids, log lines, headers and the description of the API."""

import re

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ecs.api.middleware import client_network, request_id_of
from tests.api.small_app import client_for, plain_app


@pytest.mark.parametrize("offered", ["a", "Abc-1.2_3", "x" * 128])
async def test_keeps_a_harmless_request_id(offered: str) -> None:
    async with client_for(plain_app()) as client:
        response = await client.get("/api/v1/act", headers={"X-Request-ID": offered})

    assert response.headers["x-request-id"] == offered


@given(offered=st.binary(max_size=200))
def test_never_repeats_a_harmful_request_id(offered: bytes) -> None:
    scope = {"type": "http", "headers": [(b"x-request-id", offered)]}

    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", request_id_of(scope))


async def test_writes_one_line_per_request_without_anything_private() -> None:
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        async with client_for(plain_app(), token="user") as client:
            await client.get(
                "/api/v1/offers/private-id?private=1",
                headers={"User-Agent": "x" * 500, "X-Request-ID": "abc"},
            )

    (line,) = lines
    assert line.pop("duration_ms") >= 0
    assert line == {
        "event": "http.request",
        "log_level": "info",
        "method": "GET",
        "route": "/api/v1/offers/{offer_id}",
        "status": 422,
        "client": "127.0.0.0/24",
        "user_agent": "x" * 120,
        "request_id": "abc",
    }


async def test_masks_a_pan_where_the_user_agent_is_cut() -> None:
    with capture_logs() as lines:
        async with client_for(plain_app()) as client:
            await client.get("/api/v1/act", headers={"User-Agent": f"{'x' * 112} ABCPE1234F"})

    (line,) = lines
    assert line["user_agent"] == f"{'x' * 112} XXXXXX2"


@pytest.mark.parametrize(
    ("client", "network"),
    [
        (("203.0.113.77", 1), "203.0.113.0/24"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1::/48"),
        (("testclient", 1), None),
        (None, None),
    ],
)
def test_cuts_addresses(client: tuple[str, int] | None, network: str | None) -> None:
    assert client_network({"type": "http", "client": client}) == network


@pytest.mark.parametrize("path", ["/api/v1/act", "/nowhere", "/api/v1/me"])
async def test_every_answer_carries_the_safe_headers(path: str) -> None:
    async with client_for(plain_app()) as client:
        headers = (await client.get(path)).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_pages_load_nothing_from_other_hosts(path: str) -> None:
    async with client_for(plain_app()) as client:
        page = await client.get(path)
        files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        loaded = [await client.get(file) for file in files]

    assert page.status_code == 200
    assert files
    assert "//" not in "".join(files)
    assert {response.status_code for response in loaded} == {200}
    assert "script-src 'self'" in page.headers["content-security-policy"]


async def test_inline_scripts_are_allowed_by_hash_alone() -> None:
    async with client_for(plain_app()) as client:
        policy = (await client.get("/docs")).headers["content-security-policy"]

    scripts = next(part for part in policy.split(";") if "script-src" in part)
    assert "sha256-" in scripts
    assert "unsafe" not in scripts


async def test_the_description_names_every_error() -> None:
    async with client_for(plain_app()) as client:
        document = (await client.get("/openapi.json")).json()

    responses = document["paths"]["/api/v1/payments"]["post"]["responses"]
    assert set(responses) == {
        *("200", "400", "401", "403", "408", "413", "414", "415", "422", "431", "500", "503")
    }
    assert "404" in document["paths"]["/api/v1/offers/{offer_id}"]["get"]["responses"]
    assert "401" not in document["paths"]["/api/v1/act"]["get"]["responses"]
    problem = {"$ref": "#/components/schemas/Problem"}
    assert responses["422"]["content"] == {"application/problem+json": {"schema": problem}}
    assert {"Problem", "FieldError"} <= set(document["components"]["schemas"])
    assert "HTTPValidationError" not in str(document)


async def test_the_description_names_callers_and_scopes() -> None:
    async with client_for(plain_app()) as client:
        document = (await client.get("/openapi.json")).json()

    schemes = document["components"]["securitySchemes"]
    assert schemes["user"]["flows"]["password"]["tokenUrl"] == "/token"
    assert "transactions:write" in schemes["client"]["flows"]["clientCredentials"]["scopes"]
    assert document["paths"]["/api/v1/payments"]["post"]["security"] == [
        {"client": ["transactions:write"]}
    ]
