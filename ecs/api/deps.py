"""What the routes may ask for: the services, and the id of the request."""

from collections.abc import Callable
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from ecs.api.problem import REQUEST_ID_KEY
from ecs.bootstrap import Application
from ecs.services.acceptance_service import AcceptanceService
from ecs.services.auth_service import AuthService
from ecs.services.consents_service import ConsentsService
from ecs.services.credit_service import CreditService
from ecs.services.emotions_service import EmotionsService
from ecs.services.jobs_service import JobsService
from ecs.services.notifications_service import NotificationsService
from ecs.services.prequalification_service import PrequalificationService
from ecs.services.readiness_service import ReadinessService
from ecs.services.transactions_service import TransactionsService


async def _request_id(request: Request) -> str | None:
    return cast(str | None, request.scope.get(REQUEST_ID_KEY))


def _part(of: Callable[[Application], object]) -> Any:
    async def part(request: Request) -> object:
        return of(request.state.ecs)

    return Depends(part)


Acceptance = Annotated[AcceptanceService, _part(lambda ecs: ecs.acceptance)]
Auth = Annotated[AuthService, _part(lambda ecs: ecs.auth)]
Consents = Annotated[ConsentsService, _part(lambda ecs: ecs.consents)]
Credit = Annotated[CreditService, _part(lambda ecs: ecs.credit)]
Emotions = Annotated[EmotionsService, _part(lambda ecs: ecs.emotions)]
Jobs = Annotated[JobsService, _part(lambda ecs: ecs.jobs)]
Notifications = Annotated[NotificationsService, _part(lambda ecs: ecs.notifications)]
Prequalification = Annotated[PrequalificationService, _part(lambda ecs: ecs.prequalification)]
Readiness = Annotated[ReadinessService, _part(lambda ecs: ecs.readiness)]
RequestId = Annotated[str | None, Depends(_request_id)]
Transactions = Annotated[TransactionsService, _part(lambda ecs: ecs.transactions)]
