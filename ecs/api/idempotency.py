"""
The ``Idempotency-Key`` header, for any route that promises one effect.

    key: IdempotencyKey                                        # in the signature
    result, replayed = await service.do(..., request=key.request(body))
    key.tell(response, replayed=replayed)
"""

import json
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from ecs.api.access import authenticated
from ecs.api.exceptions import InvalidIdempotencyKey
from ecs.api.middleware import route_template
from ecs.api.problem import problem_responses
from ecs.services.idempotency import KeyedRequest

HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotency-Replayed"
_KEY: Final = re.compile(r"[\x21-\x7e]{8,128}")
DESCRIPTION: Final = (
    "Makes it safe to send the request again: for 24 hours the same key with the same request gets"
    " the first success again, and has no second effect. 8 to 128 visible ASCII characters; the"
    " quotes of a structured header are no part of them."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyHeader:
    """The key of a request, if it has one, and whose it is."""

    caller: str
    method: str
    route: str
    places: dict[str, Any]
    key: str | None = field(repr=False)

    def request(self, body: BaseModel | None = None) -> KeyedRequest | None:
        """Return what must have one effect, or None: the caller sent no key."""
        if self.key is None:
            return None
        said = {} if body is None else body.model_dump(mode="json")
        payload = json.dumps([self.places, said], sort_keys=True, separators=(",", ":"))
        return KeyedRequest(
            caller=self.caller,
            method=self.method,
            route=self.route,
            key=self.key,
            payload=payload,
        )

    def tell(self, response: Response, *, replayed: bool) -> None:
        """Say in the head of the answer whether it was given before."""
        if replayed:
            response.headers[REPLAYED_HEADER] = "true"


async def idempotency_header(
    request: Request,
    _: Annotated[
        str | None,
        Header(
            alias=HEADER,
            description=DESCRIPTION,
            # Without the quotes: who needs them knows what a structured header is.
            json_schema_extra={"pattern": "^[!#-~]{8,128}$"},
        ),
    ] = None,
) -> IdempotencyHeader:
    """Return the key of ``request``; refuse one that is malformed or comes twice."""
    caller = await authenticated(request)
    return IdempotencyHeader(
        caller=f"{caller.kind}:{caller.id}",
        method=request.method,
        route=route_template(request.scope) or "",
        # What is asked for is a part of the request; an id means the same in capitals.
        places={name: str(value).lower() for name, value in request.path_params.items()},
        key=read_key(request.headers.getlist(HEADER)),
    )


def read_key(values: list[str]) -> str | None:
    """Return the one key of these header lines, or None; raise ``InvalidIdempotencyKey``."""
    if not values:
        return None
    key = values[0].strip(" \t")
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(values) > 1 or _KEY.fullmatch(key) is None:
        raise InvalidIdempotencyKey
    return key


def idempotent_responses(success: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route that takes the key and then answers ``success``."""
    header = {
        "description": "There when this is the answer to an earlier request with the same key.",
        "schema": {"type": "string", "const": "true"},
    }
    return {success: {"headers": {REPLAYED_HEADER: header}}, **problem_responses(400, 409, 422)}


IdempotencyKey = Annotated[IdempotencyHeader, Depends(idempotency_header)]
