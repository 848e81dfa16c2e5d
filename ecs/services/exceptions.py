"""
What the services refuse. HTTP knows only the families; workers share them.

* BusinessLogicError   understood and refused                          422
  x Invalid            a well-formed value that makes no sense here    422
    + InvalidPan
  x IdempotencyKeyReused  the key stands for another request           422
  x Missing            not there, or not for this caller               404
    + UserNotFound OfferNotFound JobNotFound AccountNotFound NotificationNotFound
    + ClientNotFound PurposeNotFound ConsentTextNotFound ApplicationNotFound
  x Conflict           there, but its state forbids the request        409
    + EmailTaken AccountExists OfferExpired OfferDenied OfferReferred OfferVoid
    + DuplicateApplication NotInReview AlreadyDecided IdempotencyInProgress
  x TooLarge           more than one request may ask for               413
  x Unauthenticated    the token says nothing we believe               401
  x Forbidden          known, but not allowed                          403
  x Busy               come back later                                 503
  x TokenRefused       RFC 6749's refusals, answered in its own form   400, 401
    + InvalidGrant InvalidClient InvalidScope

* RepositoryError (see ``ecs.repositories.exceptions``): the failures of the database that the
  callers of a service may have to tell apart, named here because only services reach repositories.
"""

from collections.abc import Mapping
from typing import ClassVar

from ecs.integrations.exceptions import (
    DestinationUnavailable,
    HandlerStuck,
    PublishInterrupted,
    TopologyMismatch,
)
from ecs.repositories.exceptions import (
    ConflictError,
    DatabaseUnavailable,
    InvalidValueError,
    RepositoryError,
)

__all__ = [
    "AccountExists",
    "AccountNotFound",
    "AlreadyDecided",
    "ApplicationNotFound",
    "BusinessLogicError",
    "Busy",
    "ClientNotFound",
    "Conflict",
    "ConflictError",
    "ConsentTextNotFound",
    "DatabaseUnavailable",
    "DestinationUnavailable",
    "DuplicateApplication",
    "EmailTaken",
    "Forbidden",
    "HandlerStuck",
    "IdempotencyInProgress",
    "IdempotencyKeyReused",
    "Invalid",
    "InvalidClient",
    "InvalidGrant",
    "InvalidPan",
    "InvalidScope",
    "InvalidValueError",
    "JobNotFound",
    "Missing",
    "NotInReview",
    "NotificationNotFound",
    "OfferDenied",
    "OfferExpired",
    "OfferNotFound",
    "OfferReferred",
    "OfferVoid",
    "PublishInterrupted",
    "PurposeNotFound",
    "RepositoryError",
    "TokenRefused",
    "TooLarge",
    "TopologyMismatch",
    "Unauthenticated",
    "UserNotFound",
]


class BusinessLogicError(Exception):
    """
    A request that was understood and refused. Carries a stable code, never an HTTP status.

    ``detail`` is a constant of the class: a caller reads it, so it never holds an id or a value.
    ``context`` is for developers; it is shown in development only, but for what ``public`` names:
    that every caller is told (an extension member of RFC 9457).
    """

    code: ClassVar[str] = "business_rule"
    detail: ClassVar[str] = "A business rule forbids this request."
    public: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, **context: object) -> None:
        super().__init__(self.code)
        self.context = context

    @property
    def members(self) -> Mapping[str, object]:
        """What a caller is told besides the code and the detail."""
        return {name: value for name, value in self.context.items() if name in self.public}


class Invalid(BusinessLogicError):
    """A value is well-formed but makes no sense here; ``pointer`` (RFC 6901) says which."""

    code = "invalid_value"
    detail = "A value of the request is not acceptable."
    pointer: ClassVar[str] = ""


class InvalidPan(Invalid):
    """Ten characters in a PAN's form, but no such PAN can exist."""

    code = "invalid_pan"
    detail = "The fourth character of a PAN is one of A, B, C, F, G, H, J, L, P and T."
    pointer = "/pan_number"


class IdempotencyKeyReused(BusinessLogicError):
    """The key was used before, for a request that said something else."""

    code = "idempotency_key_reused"
    detail = "This Idempotency-Key was used for another request; choose a new one."


class Missing(BusinessLogicError):
    """The thing asked for does not exist, or not for this caller: nobody can tell which."""

    code = "not_found"
    detail = "There is no such thing, or it is not yours."


class Conflict(BusinessLogicError):
    """The thing exists, but its state forbids the request."""

    code = "conflict"
    detail = "The present state forbids this request."


class TooLarge(BusinessLogicError):
    """The request asks for more than one request may."""

    code = "payload_too_large"
    detail = "The request holds too much; send it in smaller parts."


class Unauthenticated(BusinessLogicError):
    """The token is not one we believe. One body for every cause."""

    code = "invalid_token"
    detail = "The access token is not valid; ask /token for a new one."


class Forbidden(BusinessLogicError):
    """The caller is known and may not do this."""

    code = "forbidden"
    detail = "You may not do this."


class Busy(BusinessLogicError):
    """The system cannot do this now; the same request may succeed in a moment."""

    code = "busy"
    detail = "The service is busy; try again in a moment."
    retry_after_seconds: ClassVar[int] = 1


class UserNotFound(Missing):
    """There is no such person any more."""

    code = "not_found"
    detail = "There is no such person."


class OfferNotFound(Missing):
    """No such offer for this person."""

    code = "offer_not_found"
    detail = "There is no such offer, or it is not yours."


class JobNotFound(Missing):
    """No such job for this person."""

    code = "job_not_found"
    detail = "There is no such job, or it is not yours."


class AccountNotFound(Missing):
    """The person has no open account."""

    code = "no_account"
    detail = "You have no credit account; accept an offer to get one."


class NotificationNotFound(Missing):
    """No such notification for this person."""

    code = "notification_not_found"
    detail = "There is no such notification, or it is not yours."


class ClientNotFound(Missing):
    """No such client program, or one that may not work any more."""

    code = "client_not_found"
    detail = "There is no such client program; check the client_id."


class PurposeNotFound(Missing):
    """Nobody is asked to agree to such a use."""

    code = "purpose_not_found"
    detail = "There is no such purpose."


class ConsentTextNotFound(Missing):
    """The purpose has no text in this locale, or not in this version."""

    code = "text_not_found"
    detail = "There is no such text; leave out the version for the newest, the locale for English."


class ApplicationNotFound(Missing):
    """No such application for this caller."""

    code = "application_not_found"
    detail = "There is no such application, or it is not yours."


class EmailTaken(Conflict):
    """Somebody registered with this address before."""

    code = "email_taken"
    detail = "This e-mail address is taken; log in, or register with another one."


class AccountExists(Conflict):
    """The person has an active account already."""

    code = "account_exists"
    detail = "You already have an active credit account."


class OfferExpired(Conflict):
    """The offer's time is over."""

    code = "offer_expired"
    detail = "The offer has expired; apply again for a new one."


class OfferDenied(Conflict):
    """The decision was a denial."""

    code = "offer_denied"
    detail = "This decision was a denial; there is nothing to accept."


class OfferReferred(Conflict):
    """The decision was a referral."""

    code = "offer_referred"
    detail = "This application was referred; there is nothing to accept yet."


class OfferVoid(Conflict):
    """The offer was closed because a rule no longer held."""

    code = "offer_void"
    detail = "The offer is closed; apply again for a new one."


class DuplicateApplication(Conflict):
    """The PAN has an active application; only its owner is told which."""

    code = "duplicate_application"
    detail = "There is an application with this PAN from the last 30 days already."
    public = frozenset({"application_id"})


class NotInReview(Conflict):
    """Nobody knows yet whether an officer has to decide."""

    code = "not_in_review"
    detail = "The application is still pending; an officer may have to decide it later."


class AlreadyDecided(Conflict):
    """The decision was made, by rule or by an officer."""

    code = "already_decided"
    detail = "The application is decided already."


class IdempotencyInProgress(Conflict):
    """The same request is being served at this moment."""

    code = "idempotency_in_progress"
    detail = "A request with this Idempotency-Key is being served; try again in a moment."


class TokenRefused(BusinessLogicError):
    """``/token`` says no; the codes are those of RFC 6749 section 5.2."""

    code = "invalid_request"
    detail = "The token request is malformed."


class InvalidGrant(TokenRefused):
    """Unknown person, wrong password or disabled: one answer for all."""

    code = "invalid_grant"
    detail = "The e-mail address or the password is wrong."


class InvalidClient(TokenRefused):
    """Unknown client, wrong secret or disabled: one answer for all."""

    code = "invalid_client"
    detail = "The client id or the client secret is wrong."


class InvalidScope(TokenRefused):
    """A scope was asked for that the caller does not hold."""

    code = "invalid_scope"
    detail = "A requested scope is unknown, or not yours to ask for."
