"""Consents over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Response

from ecs.api.access import Public, UserWith
from ecs.api.deps import Consents, RequestId
from ecs.api.problem import problem_responses
from ecs.api.routing import EcsRoute
from ecs.api.schemas.common import EmptyBody
from ecs.api.schemas.consents import ConsentIn, ConsentOut, ConsentsOut, ConsentTextOut
from ecs.domain.consents import LOCALE_DEFAULT, Purpose
from ecs.wire.forms import StrictUuid

router = APIRouter(prefix="/api/v1/consents", tags=["consents"], route_class=EcsRoute)


# Any text: an unknown purpose is an address where nothing is.
PurposeInPath = Annotated[str, Path(examples=[Purpose.EMOTION_CREDIT_DECISION.value])]


@router.post(
    "",
    status_code=201,
    responses={
        200: {"model": ConsentOut, "description": "The consent that stands already"},
        **problem_responses(404),
    },
)
async def grant(
    user_id: Annotated[UUID, UserWith("consents:write")],
    asked: ConsentIn,
    consents: Consents,
    request_id: RequestId,
    response: Response,
) -> ConsentOut:
    """Agree to the newest text: 201 with a new consent, 200 with the one that stands already."""
    consent, created = await consents.grant(
        user_id=user_id,
        purpose=asked.purpose,
        client_id=asked.client_id,
        locale=asked.locale,
        request_id=request_id,
    )
    response.status_code = 201 if created else 200
    return ConsentOut.of(consent)


@router.get("")
async def list_consents(
    user_id: Annotated[UUID, UserWith("consents:write")], consents: Consents
) -> ConsentsOut:
    """List the caller's consents, withdrawn ones too: those that stand first, then the newest."""
    found = await consents.list_consents(user_id)
    return ConsentsOut(data=[ConsentOut.of(consent) for consent in found])


@router.delete("/{purpose}", status_code=204)
async def withdraw(
    purpose: PurposeInPath,
    user_id: Annotated[UUID, UserWith("consents:write")],
    consents: Consents,
    request_id: RequestId,
    client_id: StrictUuid | None = None,
    body: EmptyBody | None = None,
) -> None:
    """Withdraw for every client, or for one; may be repeated. Takes effect at once."""
    await consents.withdraw(
        user_id=user_id,
        purpose=consents.get_purpose(purpose),
        client_id=client_id,
        request_id=request_id,
    )


@router.get("/texts/{purpose}", dependencies=[Public()])
async def get_text(
    purpose: PurposeInPath,
    consents: Consents,
    locale: str = LOCALE_DEFAULT,
    version: str | None = None,
) -> ConsentTextOut:
    """Show the words to agree to, in one locale, of one version or the newest."""
    words = consents.get_text(consents.get_purpose(purpose), locale=locale, version=version)
    return ConsentTextOut.of(words)
