"""Credit over HTTP."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Response

from ecs.api.access import UserWith
from ecs.api.deps import Acceptance, Credit, RequestId
from ecs.api.links import link
from ecs.api.problem import problem_responses
from ecs.api.routing import EcsRoute
from ecs.api.schemas.common import EmptyBody, Page, Paging, page
from ecs.api.schemas.credit import AcceptanceOut, AccountOut, DecisionOut
from ecs.wire.forms import StrictUuid

DECISION_LINKS: Final = {
    "see": link("get", "/api/v1/credit/offers/{offer_id}", offer_id="id"),
    "accept": link("post", "/api/v1/credit/offers/{offer_id}/accept", offer_id="id"),
}
JOB_LINKS: Final = {"follow": link("get", "/api/v1/jobs/{job_id}", job_id="job_id")}

router = APIRouter(prefix="/api/v1/credit", tags=["credit"], route_class=EcsRoute)


@router.post(
    "/apply",
    status_code=201,
    responses={
        200: {
            "model": DecisionOut,
            "description": "The offer that is active already",
            "links": DECISION_LINKS,
        },
        201: {"links": DECISION_LINKS},
        **problem_responses(409),
    },
)
async def apply(
    user_id: Annotated[UUID, UserWith("credit:apply")],
    credit: Credit,
    request_id: RequestId,
    response: Response,
    body: EmptyBody | None = None,
) -> DecisionOut:
    """Apply for credit: 201 with a new decision, 200 with the offer that is active already."""
    offer, created = await credit.apply(user_id=user_id, request_id=request_id)
    response.status_code = 201 if created else 200
    return DecisionOut.of(offer)


@router.get("/offers")
async def list_offers(
    user_id: Annotated[UUID, UserWith("offers:read")], credit: Credit, paging: Paging
) -> Page[DecisionOut]:
    """List the caller's decisions, newest first."""
    offers = await credit.list_offers(user_id=user_id, limit=paging.limit + 1, after=paging.after)
    return Page[DecisionOut](**page(offers, limit=paging.limit, show=DecisionOut.of))


@router.get("/offers/{offer_id}")
async def get_offer(
    offer_id: StrictUuid, user_id: Annotated[UUID, UserWith("offers:read")], credit: Credit
) -> DecisionOut:
    """Show one of the caller's decisions."""
    return DecisionOut.of(await credit.get_offer(user_id=user_id, offer_id=offer_id))


@router.post(
    "/offers/{offer_id}/accept",
    status_code=202,
    responses={202: {"links": JOB_LINKS}, **problem_responses(409)},
)
async def accept_offer(
    offer_id: StrictUuid,
    user_id: Annotated[UUID, UserWith("offers:accept")],
    acceptance: Acceptance,
    request_id: RequestId,
    response: Response,
    body: EmptyBody | None = None,
) -> AcceptanceOut:
    """Accept an offer; the account is opened in the background."""
    job_id = await acceptance.accept_offer(
        user_id=user_id, offer_id=offer_id, request_id=request_id
    )
    accepted = AcceptanceOut.of(job_id=job_id, offer_id=offer_id)
    response.headers["Location"] = accepted.status_url
    return accepted


@router.get("/account", responses=problem_responses(404))
async def get_account(
    user_id: Annotated[UUID, UserWith("account:read")], acceptance: Acceptance
) -> AccountOut:
    """Show the caller's credit account."""
    return AccountOut.of(await acceptance.get_account(user_id))
