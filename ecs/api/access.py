"""
Who may call a route. Every route says so in its signature; a route that does not cannot be built.

    user_id: Annotated[UUID, UserWith("offers:read")]
    client_id: Annotated[UUID, ClientWith("transactions:write")]
    user_id: Annotated[UUID, AnyUser()]
    @router.get("/health", dependencies=[Public()])
"""

from collections.abc import Iterator
from typing import Any, Final, Protocol, cast
from uuid import UUID

from fastapi import Request, params
from fastapi.dependencies.models import Dependant
from fastapi.openapi.models import OAuthFlowClientCredentials, OAuthFlowPassword, OAuthFlows
from fastapi.security import OAuth2

from ecs.api.exceptions import InsufficientScope, MissingToken, WrongCaller
from ecs.domain.people import CLIENT_SCOPES, USER_SCOPES
from ecs.domain.principal import Principal, PrincipalKind
from ecs.services.exceptions import Unauthenticated

PRINCIPAL_KEY: Final = "ecs.principal"  # In the scope: a server may share the state.
TOKEN_URL: Final = "/token"  # noqa: S105  (a path)
DESCRIPTIONS: Final[dict[str, str]] = {
    "account:read": "See one's own credit account",
    "consents:write": "Give, see and withdraw consents",
    "credit:apply": "Apply for credit",
    "emotions:ingest": "Send emotional events of people who consented",
    "emotions:read": "See one's own emotional events in summary",
    "notifications:read": "See one's own notifications",
    "offers:accept": "Accept an offer",
    "offers:read": "See one's own decisions and jobs",
    "prequalification:read": "See one's own applications for prequalification",
    "prequalification:review": "Decide applications that wait for an officer",
    "prequalification:write": "Apply for the prequalification of a loan",
    "transactions:write": "Send transactions of any person",
}
SCOPES: Final[dict[PrincipalKind, frozenset[str]]] = {
    PrincipalKind.USER: USER_SCOPES,
    PrincipalKind.CLIENT: CLIENT_SCOPES,
}
assert set(DESCRIPTIONS) == USER_SCOPES | CLIENT_SCOPES


class Authenticator(Protocol):
    """Believes a token, or raises ``Unauthenticated``."""

    async def authenticate(self, token: str) -> Principal:
        """Return the caller behind ``token``."""


class UserWith(params.Security):
    """Admit people whose token carries every one of ``scopes``; the value is the user's id."""

    def __init__(self, *scopes: str) -> None:
        super().__init__(CallerRule(PrincipalKind.USER, frozenset(scopes)), scopes=sorted(scopes))


class AnyUser(UserWith):
    """Admit every person, whatever the scopes; the value is the user's id."""

    def __init__(self) -> None:
        super().__init__()


class ClientWith(params.Security):
    """Admit client programs whose token carries every one of ``scopes``; the value is the id."""

    def __init__(self, *scopes: str) -> None:
        super().__init__(CallerRule(PrincipalKind.CLIENT, frozenset(scopes)), scopes=sorted(scopes))


class Public(params.Depends):
    """Admit everybody. Written out, because a route that says nothing is refused."""

    def __init__(self) -> None:
        super().__init__(PublicRule())


class PublicRule:
    """The rule of a route that everybody may call."""

    async def __call__(self) -> None:
        """Let everybody in."""

    async def authorise(self, request: Request) -> None:
        """Let everybody in."""


class CallerRule(OAuth2):
    """The rule of a route that one kind of caller may call, with these scopes."""

    def __init__(self, kind: PrincipalKind, scopes: frozenset[str]) -> None:
        unknown = scopes - SCOPES[kind]
        if unknown:
            raise ValueError(f"no {kind} can hold {sorted(unknown)}")
        super().__init__(flows=_flows(kind), scheme_name=kind.value, auto_error=False)
        self.kind = kind
        self.scopes = scopes

    async def __call__(self, request: Request) -> UUID:  # type: ignore[override]  # the id, not the header
        """Return the id of the caller, who was let in before the body was read."""
        return (await self.authorise(request)).id

    async def authorise(self, request: Request) -> Principal:
        """Return the caller; raise when it is nobody, of another kind, or lacks a scope."""
        caller = await authenticated(request)
        if caller.kind is not self.kind:
            raise WrongCaller
        if caller.lacks(self.scopes):
            raise InsufficientScope(self.scopes)
        return caller


AccessRule = PublicRule | CallerRule


async def authenticated(request: Request) -> Principal:
    """Return the caller behind the request's token, asked for once per request."""
    known = request.scope.get(PRINCIPAL_KEY)
    if known is None:
        known = await _authenticator(request).authenticate(_bearer_token(request))
        request.scope[PRINCIPAL_KEY] = known
    return cast(Principal, known)


def access_rule_of(dependant: Dependant) -> AccessRule:
    """Return the one access rule in a route's tree of dependencies; raise when there is not one."""
    rules = list(_rules(dependant))
    if len(rules) != 1:
        raise TypeError(
            f"{dependant.path}: a route says exactly once who may call it "
            f"(UserWith, AnyUser, ClientWith or Public), this one {len(rules)} times"
        )
    return rules[0]


def _rules(dependant: Dependant) -> Iterator[AccessRule]:
    for child in dependant.dependencies:
        if isinstance(child.call, AccessRule):
            yield child.call
        yield from _rules(child)


def _authenticator(request: Request) -> Authenticator:
    return cast(Authenticator, request.state.ecs.auth)


def _bearer_token(request: Request) -> str:
    headers = request.headers.getlist("authorization")
    if not headers:
        raise MissingToken
    if len(headers) > 1:
        raise Unauthenticated
    scheme, _, token = headers[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip(" "):
        raise MissingToken
    return token.strip(" ")


def _flows(kind: PrincipalKind) -> OAuthFlows:
    scopes: dict[str, Any] = {scope: DESCRIPTIONS[scope] for scope in sorted(SCOPES[kind])}
    if kind is PrincipalKind.USER:
        return OAuthFlows(password=OAuthFlowPassword(tokenUrl=TOKEN_URL, scopes=scopes))
    flow = OAuthFlowClientCredentials(tokenUrl=TOKEN_URL, scopes=scopes)
    return OAuthFlows(clientCredentials=flow)
