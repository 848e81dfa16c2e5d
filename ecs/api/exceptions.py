"""
What can be wrong with a request before any business rule sees it.

* ApiError
  x MalformedJson          400
  x InvalidIdempotencyKey  400
  x MissingToken           401
  x WrongCaller            403
  x InsufficientScope      403
  x UnsupportedMediaType   415
  x UnknownParameter       422
  x RepeatedParameter      422
* TokenRequestError        RFC 6749 section 5.2, the errors of ``/token``
"""

from collections.abc import Mapping
from typing import ClassVar

from ecs.api.problem import Problem
from ecs.wire.field_errors import FieldError


class ApiError(Exception):
    """A request the API layer refuses by itself."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    detail: ClassVar[str] = "The request makes no sense."

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: tuple[FieldError, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(self.code)
        self.problem = Problem(
            status=self.status,
            code=self.code,
            detail=detail or self.detail,
            errors=errors,
            headers=headers or {},
        )


class MalformedJson(ApiError):
    """The body is not JSON that everybody reads alike."""

    status = 400
    code = "malformed_json"
    detail = "The body is not valid JSON in UTF-8."


class InvalidIdempotencyKey(ApiError):
    """The ``Idempotency-Key`` cannot be told apart from others."""

    status = 400
    code = "invalid_idempotency_key"
    detail = "Send one Idempotency-Key of 8 to 128 visible ASCII characters."


class NullBody(ApiError):
    """The body is JSON's null, which FastAPI would take for none at all."""

    status = 422
    code = "validation_failed"
    detail = "The request is well-formed but wrong; `errors` says where."

    def __init__(self) -> None:
        message = "A body is an object; leave it out or send {}."
        super().__init__(errors=(FieldError(pointer="", code="invalid_type", message=message),))


class MissingToken(ApiError):
    """The caller did not say who they are."""

    status = 401
    code = "missing_token"
    detail = "Send an access token of /token: `Authorization: Bearer <token>`."

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": "Bearer"})


class WrongCaller(ApiError):
    """A person where a client program is served, or the reverse."""

    status = 403
    code = "wrong_caller"
    detail = "Another kind of caller is served here."


class InsufficientScope(ApiError):
    """The token is good, but not for this."""

    status = 403
    code = "insufficient_scope"
    detail = "The access token does not carry the scope that this needs."

    def __init__(self, scopes: frozenset[str]) -> None:
        wanted = " ".join(sorted(scopes))
        challenge = f'Bearer error="insufficient_scope", scope="{wanted}"'
        super().__init__(headers={"WWW-Authenticate": challenge})


class UnsupportedMediaType(ApiError):
    """The body is not declared to be JSON."""

    status = 415
    code = "unsupported_media_type"
    detail = "Send the body as `Content-Type: application/json`, in UTF-8."


class UnknownParameter(ApiError):
    """The query names what this route does not know."""

    status = 422
    code = "unknown_parameter"
    detail = "The query has a parameter that is unknown here; leave it out."


class RepeatedParameter(ApiError):
    """The query names the same thing twice."""

    status = 422
    code = "repeated_parameter"
    detail = "The query has the same parameter twice; send it once."


class TokenRequestError(Exception):
    """A token request refused in the words of RFC 6749: ``error`` and ``description`` in ASCII."""

    def __init__(
        self,
        error: str,
        description: str,
        *,
        status: int = 400,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status
        self.headers = dict(headers or {})
