"""Loan prequalification over HTTP."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Response

from ecs.api.access import ClientWith, UserWith
from ecs.api.deps import Prequalification, RequestId
from ecs.api.idempotency import IdempotencyKey, idempotent_responses
from ecs.api.links import link
from ecs.api.problem import problem_response
from ecs.api.routing import EcsRoute
from ecs.api.schemas.common import Page, Paging, page
from ecs.api.schemas.prequalification import (
    STATUS_PATH,
    ApplicationIn,
    ApplicationOut,
    ReviewIn,
    SubmissionOut,
)
from ecs.domain.prequalification.application import Status
from ecs.wire.forms import StrictUuid, one_of

router = APIRouter(
    prefix="/api/v1/prequalification", tags=["prequalification"], route_class=EcsRoute
)

_SUBMITTED: Final = idempotent_responses(202)
SUBMIT_RESPONSES: Final = {
    **_SUBMITTED,
    202: {
        **_SUBMITTED[202],
        "links": {"follow": link("get", STATUS_PATH, application_id="application_id")},
    },
    409: problem_response(
        409,
        members={
            "application_id": {
                "type": "string",
                "format": "uuid",
                "description": "The caller's own active application with this PAN, if it is one.",
            }
        },
    ),
}


@router.post("/applications", status_code=202, responses=SUBMIT_RESPONSES)
async def submit(
    user_id: Annotated[UUID, UserWith("prequalification:write")],
    asked: ApplicationIn,
    prequalification: Prequalification,
    request_id: RequestId,
    key: IdempotencyKey,
    response: Response,
) -> SubmissionOut:
    """Apply for prequalification; the decision follows within seconds, see the ``Location``."""
    submission, replayed = await prequalification.submit(
        asked.form(), user_id=user_id, request_id=request_id, request=key.request(asked)
    )
    key.tell(response, replayed=replayed)
    response.headers["Location"] = STATUS_PATH.format(application_id=submission.application_id)
    return SubmissionOut.of(submission)


@router.get("/applications")
async def list_applications(
    user_id: Annotated[UUID, UserWith("prequalification:read")],
    prequalification: Prequalification,
    paging: Paging,
    status: Annotated[str, *one_of(Status)] | None = None,
) -> Page[ApplicationOut]:
    """List the caller's applications, newest first, of one status or all."""
    found = await prequalification.list(
        user_id=user_id,
        status=None if status is None else Status(status),
        limit=paging.limit + 1,
        after=paging.after,
    )
    return Page[ApplicationOut](**page(found, limit=paging.limit, show=ApplicationOut.of))


@router.get("/applications/{application_id}/status")
async def get_status(
    application_id: StrictUuid,
    user_id: Annotated[UUID, UserWith("prequalification:read")],
    prequalification: Prequalification,
) -> ApplicationOut:
    """Show one of the caller's applications and how it came to its status."""
    return ApplicationOut.of(await prequalification.get(application_id, user_id=user_id))


@router.get("/reviews")
async def list_reviews(
    client_id: Annotated[UUID, ClientWith("prequalification:review")],
    prequalification: Prequalification,
    paging: Paging,
) -> Page[ApplicationOut]:
    """List everybody's applications that wait for an officer, oldest first."""
    found = await prequalification.list_in_review(limit=paging.limit + 1, after=paging.after)
    return Page[ApplicationOut](**page(found, limit=paging.limit, show=ApplicationOut.of))


@router.post("/applications/{application_id}/review", responses=idempotent_responses(200))
async def review(  # noqa: PLR0913  (what FastAPI hands in)
    *,
    application_id: StrictUuid,
    client_id: Annotated[UUID, ClientWith("prequalification:review")],
    asked: ReviewIn,
    prequalification: Prequalification,
    request_id: RequestId,
    key: IdempotencyKey,
    response: Response,
) -> ApplicationOut:
    """Decide, as an officer, an application that waits for it."""
    application, replayed = await prequalification.review(
        application_id,
        status=Status(asked.decision),
        reason=asked.reason,
        client_id=client_id,
        request_id=request_id,
        request=key.request(asked),
    )
    key.tell(response, replayed=replayed)
    return ApplicationOut.of(application)
