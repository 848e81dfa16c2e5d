"""
The route class of every route.

The order of the questions is fixed: who calls, and may they; does the query hold only what the
route knows; is the body JSON, declared and spelled as such; then FastAPI validates and calls the
endpoint. A stranger thereby learns nothing about the rules, and costs no parsing.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.params import Form
from fastapi.routing import APIRoute

from ecs.api.access import access_rule_of
from ecs.api.exceptions import (
    MalformedJson,
    NullBody,
    RepeatedParameter,
    UnknownParameter,
    UnsupportedMediaType,
)
from ecs.api.media_type import media_type_of
from ecs.wire.field_errors import FieldError
from ecs.wire.strict_json import NotStrictJson, parse_json

NAME_CHARACTERS_MAX: Final = 100

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


class EcsRoute(APIRoute):
    """A route that refuses to exist unless it says who may call it."""

    def get_route_handler(self) -> Endpoint:
        """Return FastAPI's own handler behind the questions that come first."""
        handle = super().get_route_handler()
        # The rule is the route's own: one given only to ``include_router`` comes too late.
        rule = access_rule_of(self.dependant)
        known = frozenset(_query_names(self.dependant))
        takes_json = self.body_field is not None and not isinstance(
            self.body_field.field_info, Form
        )

        async def answer(request: Request) -> Response:
            request = EcsRequest(request.scope, request.receive)
            await rule.authorise(request)
            check_query(request, known)
            if takes_json:
                await check_body(request)
            return await handle(request)

        return answer


class EcsRequest(Request):
    """A request whose ``json()`` is strict."""

    async def json(self) -> Any:
        """Return the body as strict JSON, parsed once; raise ``MalformedJson``."""
        if not hasattr(self, "_json"):
            try:
                self._json = parse_json(await self.body())
            except NotStrictJson as error:
                raise MalformedJson(str(error)) from None
        return self._json


def check_query(request: Request, known: frozenset[str]) -> None:
    """Refuse parameters that the route does not know, and known ones that come twice."""
    names = [name for name, _ in request.query_params.multi_items()]
    unknown = dict.fromkeys(name for name in names if name not in known)
    if unknown:
        raise UnknownParameter(errors=_complaints(unknown, UnknownParameter))
    repeated = dict.fromkeys(name for name in names if names.count(name) > 1)
    if repeated:
        raise RepeatedParameter(errors=_complaints(repeated, RepeatedParameter))


async def check_body(request: Request) -> None:
    """Parse the body, if there is one, before FastAPI does: its own errors say less."""
    if not await request.body():
        return
    if not _is_json(request.headers.get("content-type", "")):
        raise UnsupportedMediaType
    if await request.json() is None:
        raise NullBody


def _is_json(content_type: str) -> bool:
    kind, charset = media_type_of(content_type)
    named_json = kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )
    return named_json and charset in {"utf-8", "utf8"}


def _query_names(dependant: Dependant) -> list[str]:
    names = [parameter.alias for parameter in dependant.query_params]
    for child in dependant.dependencies:
        names.extend(_query_names(child))
    return names


def _complaints(
    names: dict[str, None], kind: type[UnknownParameter | RepeatedParameter]
) -> tuple[FieldError, ...]:
    return tuple(
        FieldError(pointer=f"?{name[:NAME_CHARACTERS_MAX]}", code=kind.code, message=kind.detail)
        for name in list(names)[:10]
    )
