"""The API's description: ``/openapi.json`` and two pages that need no other host."""

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ecs.api.problem import problem_response, problem_schemas

OPENAPI_URL: Final = "/openapi.json"
STATIC_URL: Final = "/docs/static"
STATIC_FILES: Final = Path(fastapi_offline.__file__).parent / "static"
HTTP_METHODS: Final = frozenset({"get", "put", "post", "delete", "patch"})
_INLINE_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def install(app: FastAPI) -> None:
    """
    Add ``/docs``, ``/redoc``, ``/openapi.json`` and the files they load.

    ``app`` must be made with ``docs_url=None, redoc_url=None, openapi_url=None``.
    """
    swagger = _page(
        get_swagger_ui_html(
            openapi_url=OPENAPI_URL,
            title=app.title,
            swagger_js_url=f"{STATIC_URL}/swagger-ui-bundle.js",
            swagger_css_url=f"{STATIC_URL}/swagger-ui.css",
            swagger_favicon_url=f"{STATIC_URL}/favicon.png",
        )
    )
    redoc = _page(
        get_redoc_html(
            openapi_url=OPENAPI_URL,
            title=app.title,
            redoc_js_url=f"{STATIC_URL}/redoc.standalone.js",
            redoc_favicon_url=f"{STATIC_URL}/favicon.png",
            with_google_fonts=False,
        )
    )
    app.openapi = lambda: description(app)  # type: ignore[method-assign]  # FastAPI's documented hook

    async def describe(_: Request) -> Response:
        return JSONResponse(app.openapi())

    app.mount(STATIC_URL, StaticFiles(directory=STATIC_FILES), name="docs-static")
    app.router.routes.append(Route("/docs", _always(swagger)))
    app.router.routes.append(Route("/redoc", _always(redoc)))
    app.router.routes.append(Route(OPENAPI_URL, describe))


def description(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, with every error a route can answer, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas.update(problem_schemas())
        for path, operation in _operations(document):
            _complete(path, operation)
        app.openapi_schema = document
    return app.openapi_schema


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in HTTP_METHODS:
                yield path, operation


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Name every error status that follows from the form of an operation."""
    responses = operation["responses"]
    generated = responses.get("422", {}).get("content", {}).get("application/json", {})
    if "HTTPValidationError" in str(generated):
        del responses["422"]
    for status in _error_statuses(path, operation):
        responses.setdefault(str(status), problem_response(status))
    operation["responses"] = dict(sorted(responses.items()))
    for asked in _asked(operation):
        asked["schema"] = _without_null(asked["schema"])


def _error_statuses(path: str, operation: dict[str, Any]) -> Iterator[int]:
    yield from (413, 414, 422, 431, 500, 503)
    if "{" in path:
        yield 404
    if "requestBody" in operation:
        yield 408
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        yield from (400, 415)
    if "security" in operation:
        yield from (401, 403)


def _asked(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return everything that a caller may send and that has a schema."""
    yield from operation.get("parameters", [])
    yield from operation.get("requestBody", {}).get("content", {}).values()


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of something optional: what is left out is not sent as null."""
    forms: list[dict[str, Any]] = schema.get("anyOf", [])
    forms = [form for form in forms if form != {"type": "null"}]
    if len(forms) != 1:
        return schema
    return {name: value for name, value in schema.items() if name != "anyOf"} | forms[0]


def _page(made: HTMLResponse) -> HTMLResponse:
    """Return the page under a policy that lets in our own files and this page's own script."""
    text = bytes(made.body).decode()
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in _INLINE_SCRIPT.findall(text))
    policy = (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
        "worker-src blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _always(response: HTMLResponse) -> Any:
    async def show(_: Request) -> Response:
        return response

    return show
