"""
What may be said of a person to whoever collects traces: nothing.

Spans are not searched for what is personal, but put together anew from what is listed here.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanContext, SpanKind, Status

# The text of a statement holds no values: each is bound to its place.
ATTRIBUTES: Final = frozenset(
    {
        "db.query.text",
        "db.system.name",
        "ecs.request_id",
        "error.type",
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "messaging.batch.message_count",
        "network.protocol.version",
    }
)
EVENT_ATTRIBUTES: Final = frozenset({"exception.type"})
EXCEPTION: Final = "exception"
CHARACTERS_MAX: Final = 2000
WITHOUT_NAME: Final = "unnamed"
NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9 ._:/-]{0,79}")
METHOD: Final = re.compile(r"[A-Z]{1,10}")


def scrubbed(span: ReadableSpan) -> ReadableSpan:
    """Return a span that says the same, without whatever is not allowed."""
    attributes = _allowed(span.attributes, ATTRIBUTES)
    return ReadableSpan(
        name=_name_of(span, attributes),
        context=_place_alone(span.context),
        parent=_place_alone(span.parent),
        resource=span.resource,
        attributes=attributes,
        events=_events_of(span),
        links=[Link(place) for one in span.links if (place := _place_alone(one.context))],
        kind=span.kind,
        instrumentation_scope=span.instrumentation_scope,
        status=Status(span.status.status_code),  # Its description would be an error's text.
        start_time=span.start_time,
        end_time=span.end_time,
    )


def _name_of(span: ReadableSpan, attributes: Mapping[str, Any]) -> str:
    if span.kind is SpanKind.SERVER:
        method = str(attributes.get("http.request.method", ""))
        word = method if METHOD.fullmatch(method) else "HTTP"
        return f"{word} {attributes.get('http.route', '')}".rstrip()
    return span.name if NAME.fullmatch(span.name) else WITHOUT_NAME


def _events_of(span: ReadableSpan) -> Sequence[Event]:
    return [
        Event(EXCEPTION, _allowed(event.attributes, EVENT_ATTRIBUTES), event.timestamp)
        for event in span.events
        if event.name == EXCEPTION
    ]


def _allowed(attributes: Mapping[str, Any] | None, names: frozenset[str]) -> dict[str, Any]:
    return {
        name: value[:CHARACTERS_MAX] if isinstance(value, str) else value
        for name, value in (attributes or {}).items()
        if name in names and isinstance(value, str | int | float)
    }


def _place_alone(context: SpanContext | None) -> SpanContext | None:
    """Return a place without the ``tracestate``, which is somebody else's text."""
    if context is None:
        return None
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)
