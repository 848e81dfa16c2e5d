"""What the routes may ask for: the services, and the id of the request."""

from typing import Annotated, cast

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
from ecs.services.readiness_service import ReadinessService
from ecs.services.transactions_service import TransactionsService


async def _application(request: Request) -> Application:
    return cast(Application, request.state.ecs)


App = Annotated[Application, Depends(_application)]


async def _acceptance(ecs: App) -> AcceptanceService:
    return ecs.acceptance


async def _auth(ecs: App) -> AuthService:
    return ecs.auth


async def _consents(ecs: App) -> ConsentsService:
    return ecs.consents


async def _credit(ecs: App) -> CreditService:
    return ecs.credit


async def _emotions(ecs: App) -> EmotionsService:
    return ecs.emotions


async def _jobs(ecs: App) -> JobsService:
    return ecs.jobs


async def _notifications(ecs: App) -> NotificationsService:
    return ecs.notifications


async def _readiness(ecs: App) -> ReadinessService:
    return ecs.readiness


async def _transactions(ecs: App) -> TransactionsService:
    return ecs.transactions


async def _request_id(request: Request) -> str | None:
    return cast(str | None, request.scope.get(REQUEST_ID_KEY))


Acceptance = Annotated[AcceptanceService, Depends(_acceptance)]
Auth = Annotated[AuthService, Depends(_auth)]
Consents = Annotated[ConsentsService, Depends(_consents)]
Credit = Annotated[CreditService, Depends(_credit)]
Emotions = Annotated[EmotionsService, Depends(_emotions)]
Jobs = Annotated[JobsService, Depends(_jobs)]
Notifications = Annotated[NotificationsService, Depends(_notifications)]
Readiness = Annotated[ReadinessService, Depends(_readiness)]
RequestId = Annotated[str | None, Depends(_request_id)]
Transactions = Annotated[TransactionsService, Depends(_transactions)]
