"""
Errors, told to Sentry: which kind, where in the code, and in which request. Nothing else.

The text of an error is not sent, since texts repeat values; the request id leads to the log line.
"""

import atexit
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final

import sentry_sdk
from structlog.typing import ExcInfo

from ecs.integrations.telemetry.report_limit import ReportLimit

SEND_SECONDS_MAX: Final = 2.0
WAITING_MAX: Final = 100
CAUSES_MAX: Final = 5
FRAMES_MAX: Final = 50
CONSTANT_NAME: Final = re.compile(r"[a-z][a-z0-9.-]{2,79}")
OURS: Final = ("ecs", "workers", "scripts")
# It gives an error of the database its meaning: each of them was raised here last.
TRANSLATES: Final = "ecs.repositories.unit_of_work"
# Who sends must not be told of what goes wrong with sending.
SENDERS: Final = ("sentry_sdk", "opentelemetry", "urllib3")
ALLOWED: Final = frozenset(
    {
        *("event_id", "timestamp", "level", "platform", "sdk", "server_name", "release"),
        *("environment", "message", "fingerprint", "tags", "exception"),
    }
)


def start_reports(
    dsn: str, *, service: str, environment: str, version: str
) -> Callable[[Mapping[str, Any]], None]:
    """Return what reports a logged error; one that ends the process is reported, too."""
    reports = ErrorReports(
        dsn, service=service, environment=environment, version=version, now=time.monotonic
    )
    usual = sys.excepthook

    def last_words(
        kind: type[BaseException], error: BaseException, stack: TracebackType | None
    ) -> None:
        if issubclass(kind, Exception):
            reports.report({"event": "process.ended", "level": "critical", "exc_info": error})
        usual(kind, error, stack)

    sys.excepthook = last_words
    return reports.report


class ErrorReports:
    """
    Sends reports from a thread, in this process and in those that it forks.

    The library's own way to find things out is not used: it would look at requests, arguments,
    variables and lines of the log. When nobody takes the reports, they are lost. What repeats
    itself is held back: the next report says how often (``repeated``).
    """

    def __init__(
        self,
        dsn: str,
        *,
        service: str,
        environment: str,
        version: str,
        now: Callable[[], float],
    ) -> None:
        self._service = service
        self._limit = ReportLimit(now=now)
        self._options: dict[str, Any] = {
            "dsn": dsn,
            "environment": environment,
            "release": f"ecs@{version}",
            "server_name": service,
            "before_send": only_allowed,
            "default_integrations": False,
            "auto_enabling_integrations": False,
            "auto_session_tracking": False,
            "include_local_variables": False,
            "include_source_context": False,
            "attach_stacktrace": False,
            "max_breadcrumbs": 0,
            "max_request_body_size": "never",
            "send_client_reports": False,
            "transport_queue_size": WAITING_MAX,
            "shutdown_timeout": SEND_SECONDS_MAX,
            "spotlight": False,
            "debug": False,
        }
        self._process = os.getpid()
        self._client = sentry_sdk.Client(**self._options)
        atexit.register(self._client.close, SEND_SECONDS_MAX)

    def report(self, line: Mapping[str, Any]) -> None:
        """Report a logged line of an error. Never raises."""
        try:
            if not _is_of_senders(line):
                self._send_unless_repeated(event_of(line, service=self._service))
        except Exception:  # noqa: BLE001, S110  (who reports errors must not make any)
            pass

    def _send_unless_repeated(self, event: dict[str, Any]) -> None:
        held_back = self._limit.admit(tuple(event["fingerprint"]))
        if held_back is None:
            return
        if held_back:
            event["tags"]["repeated"] = str(held_back)
        self._send(event)

    def _send(self, event: dict[str, Any]) -> None:
        if os.getpid() == self._process:
            self._client.capture_event(event)  # type: ignore[arg-type]  # a typed dictionary
            return
        # A job's process: it has no thread any more, and it ends as soon as it has logged this.
        with sentry_sdk.Client(**self._options) as client:
            client.capture_event(event)  # type: ignore[arg-type]  # a typed dictionary


def event_of(line: Mapping[str, Any], *, service: str) -> dict[str, Any]:
    """Return what is sent for a logged line."""
    message, errors = _name_of(line), [*_causes(_error_of(line))]
    kinds = [type(error).__name__ for error in errors]
    event: dict[str, Any] = {
        "level": "fatal" if line.get("level") == "critical" else "error",
        "message": message,
        "fingerprint": [message, *kinds[:1], *(_origin(error) for error in errors[:1])],
        "tags": {"service": service, **_request_of(line)},
    }
    if errors:  # Sentry wants what was raised first to come first.
        event["exception"] = {"values": [_described(error) for error in reversed(errors)]}
    return event


def only_allowed(event: Any, _: Any) -> Any:
    """Return an event without what the library or its options may have added."""
    return {name: value for name, value in event.items() if name in ALLOWED}


def _name_of(line: Mapping[str, Any]) -> str:
    """Return the line's constant name; of other people's lines, who logs and where: no text."""
    record = line.get("_record")
    if record is not None:
        return f"{record.name}: {record.funcName}"
    name = str(line.get("event"))
    return name if CONSTANT_NAME.fullmatch(name) else "error"


def _is_of_senders(line: Mapping[str, Any]) -> bool:
    record = line.get("_record")
    return record is not None and record.name.startswith(SENDERS)


def _request_of(line: Mapping[str, Any]) -> dict[str, str]:
    # RQ logs a failed job when it is over, with the job's arguments.
    arguments = getattr(line.get("_record"), "kwargs", None) or {}
    request_id = line.get("request_id") or arguments.get("request_id")
    return {"request_id": request_id} if isinstance(request_id, str) else {}


def _error_of(line: Mapping[str, Any]) -> BaseException | None:
    """Return the line's error, or else the one that is being dealt with as it is logged."""
    given: ExcInfo | BaseException | bool | None = line.get("exc_info")
    if isinstance(given, tuple):
        given = given[1]
    return given if isinstance(given, BaseException) else sys.exc_info()[1]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(CAUSES_MAX):
        if error is None:
            return
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _described(error: BaseException) -> dict[str, Any]:
    return {
        "type": type(error).__qualname__,
        "module": type(error).__module__,
        "stacktrace": {"frames": [*_frames(error)][-FRAMES_MAX:]},
    }


def _frames(error: BaseException) -> Iterator[dict[str, Any]]:
    stack = error.__traceback__
    while stack is not None:
        code, module = stack.tb_frame.f_code, str(stack.tb_frame.f_globals.get("__name__"))
        yield {
            "module": module,
            "filename": "/".join(code.co_filename.rsplit("/", module.count(".") + 1)[1:]),
            "function": code.co_qualname,
            "lineno": stack.tb_lineno,
            "in_app": module.partition(".")[0] in OURS,
        }
        stack = stack.tb_next


def _origin(error: BaseException) -> str:
    """Return the innermost function of ours that knows what it was doing, or of anybody."""
    frames = [one for one in _frames(error) if one["module"] != TRANSLATES]
    ours = [one for one in frames if one["in_app"]]
    return "".join(f"{one['module']}.{one['function']}" for one in (ours or frames)[-1:])
