"""Identity over HTTP: tokens and people."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Request, Response

from ecs.api.access import AnyUser, Public
from ecs.api.deps import Acceptance, Auth, Consents, Credit
from ecs.api.problem import problem_responses
from ecs.api.routing import EcsRoute
from ecs.api.schemas.auth import MeOut, Registration, TokenErrorOut, TokenOut, UserOut
from ecs.api.token_request import FORM, PasswordGrant, read_token_request

router = APIRouter(tags=["identity"], route_class=EcsRoute)

TOKEN_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"enum": ["password", "client_credentials"]},
                        "username": {"type": "string", "description": "The e-mail address."},
                        "password": {"type": "string", "format": "password"},
                        "client_id": {"type": "string", "format": "uuid"},
                        "client_secret": {"type": "string", "format": "password"},
                        "scope": {"type": "string", "description": "Fewer scopes than all."},
                    },
                }
            }
        },
    }
}


@router.post(
    "/token",
    dependencies=[Public()],
    openapi_extra=TOKEN_FORM,
    responses={
        400: {"model": TokenErrorOut, "description": "Refused: RFC 6749 section 5.2"},
        401: {"model": TokenErrorOut, "description": "invalid_client: RFC 6749 section 5.2"},
    },
)
async def issue_token(request: Request, response: Response, auth: Auth) -> TokenOut:
    """Issue an access token to a person or to a client program."""
    grant = await read_token_request(request)
    response.headers["Pragma"] = "no-cache"
    if isinstance(grant, PasswordGrant):
        token = await auth.log_in_user(
            email=grant.username, password=grant.password, scopes=grant.scopes
        )
    else:
        token = await auth.log_in_client(
            client_id=grant.client_id, secret=grant.client_secret, scopes=grant.scopes
        )
    return TokenOut.of(token)


@router.post(
    "/api/v1/users",
    status_code=201,
    dependencies=[Public()],
    responses=problem_responses(409),
)
async def register(registration: Registration, auth: Auth) -> UserOut:
    """Register a person."""
    user = await auth.register(
        email=registration.email,
        full_name=registration.full_name,
        password=registration.password,
    )
    return UserOut.of(user)


@router.get("/api/v1/users/me")
async def me(
    user_id: Annotated[UUID, AnyUser()],
    auth: Auth,
    consents: Consents,
    credit: Credit,
    acceptance: Acceptance,
) -> MeOut:
    """Show the caller, with the consents, the offer and the account that stand."""
    return MeOut.assemble(
        await auth.get_user(user_id),
        consents=await consents.list_active(user_id),
        offer=await credit.find_active_offer(user_id),
        account=await acceptance.find_account(user_id),
    )
