"""Traces by OpenTelemetry, sent over HTTP to a collector that may be slow, or away."""

import atexit
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Final

import structlog
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators import textmap
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode

from ecs.domain.telemetry import TRACE_PARENT
from ecs.integrations.telemetry.scrubbing import scrubbed

log = structlog.get_logger(__name__)

PATH: Final = "/v1/traces"
# Shorter than the exporter's pause before it would try again: what fails is dropped at once.
EXPORT_SECONDS_MAX: Final = 0.75
FLUSH_SECONDS_MAX: Final = 2.0
DELAY_MS: Final = 1000
KEPT_MAX: Final = 4096
BATCH_MAX: Final = 512
STATEMENTS_MAX: Final = 1024  # There are fewer: each is a constant.
TARGET: Final = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+([a-z_]+)")


class OpenTelemetryTraces:
    """
    Sends traces to a collector, from a thread.

    A trace begins at our own door: what a client says of traces is not read, or clients would
    choose their ids, and what is kept.
    """

    def __init__(self, endpoint: str, *, service: str, environment: str, version: str) -> None:
        resource = Resource(
            {
                "service.name": f"ecs-{service}",
                "service.version": version,
                "deployment.environment.name": environment,
            }
        )
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(_RequestIds())
        self.provider.add_span_processor(_batches(endpoint.rstrip("/") + PATH))
        self._tracer = self.provider.get_tracer("ecs", version)
        propagate.set_global_textmap(_NobodyElses())
        atexit.register(self.flush)

    def begin_statement(self, text: str) -> Callable[[BaseException | None], None]:
        """
        Trace an SQL statement, and return what ends it.

        Only where something is traced already: those that look for work every second are no trace.
        """
        if not trace.get_current_span().is_recording():
            return _nothing
        span = self._tracer.start_span(
            _name_of(text), kind=SpanKind.CLIENT, attributes=_described(text)
        )

        def end(error: BaseException | None) -> None:
            if error is not None:
                _fail(span, error)
            span.end()

        return end

    def parent(self) -> str | None:
        """Return what is going on here, also when it is not sampled: nothing after it is, then."""
        here = trace.get_current_span().get_span_context()
        if not here.is_valid:
            return None
        return f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}"

    @contextmanager
    def span(self, name: str, *, parents: Sequence[str | None]) -> Iterator[None]:
        """
        Trace the work of a block.

        A batch follows from many. Each trace gets a span of the whole batch; what happens within
        is seen in the first of them, and the others link to it.
        """
        known = dict.fromkeys(parents)
        places = [place for one in known if (place := _place_of(one)) is not None]
        places.sort(key=lambda one: not one.trace_flags.sampled)
        first = places[0] if places else None
        here = trace.get_current_span().get_span_context()
        is_part = first is not None and first.span_id == here.span_id
        with self._tracer.start_as_current_span(
            name,
            context=_following(first),
            kind=SpanKind.CLIENT if is_part else SpanKind.CONSUMER,
            attributes={} if is_part else {"messaging.batch.message_count": len(parents)},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            links = [Link(span.get_span_context())]
            spans = [span, *(self._echo(name, place, links) for place in places[1:])]
            try:
                yield
            except BaseException as error:
                for one in spans:
                    _fail(one, error)
                raise
            finally:
                for one in spans[1:]:
                    one.end()

    def record(self, name: str, *, parent: str | None, since: datetime) -> None:
        """Trace something that began at ``since``, by another clock, and ends now."""
        place = _place_of(parent)
        if place is None:
            return
        began = min(int(since.timestamp() * 1e9), time.time_ns())
        self._tracer.start_span(name, context=_following(place), start_time=began).end()

    def flush(self) -> None:
        """Send what is kept, or give it up after two seconds."""
        # The library's own limit is not kept by it.
        sending = threading.Thread(target=self.provider.force_flush, name="flush", daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS_MAX)

    def _echo(self, name: str, place: SpanContext | None, links: Sequence[Link]) -> trace.Span:
        return self._tracer.start_span(
            name, context=_following(place), kind=SpanKind.CONSUMER, links=links
        )


class ScrubbingExporter(SpanExporter):
    """Passes on what may be told; tells once that it cannot, and once that it can again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans, or drop them."""
        result = self._exporter.export([scrubbed(span) for span in spans])
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._failing:
            log.warning("traces.not-sent", spans=len(spans))
        elif self._failing and not failed:
            log.info("traces.sent-again")
        self._failing = failed
        return result

    def shutdown(self) -> None:
        """Give up."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002  (the protocol's)
        """Do nothing: nothing is kept here."""
        return True


class _RequestIds(SpanProcessor):
    """Gives each span within a request or a job the request's id; the API gives it to its own."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002  (the protocol's)
        """Do so."""
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        if isinstance(request_id, str):
            span.set_attribute("ecs.request_id", request_id)


class _NobodyElses(textmap.TextMapPropagator):
    """Reads nothing from requests, and writes nothing into any."""

    def extract(
        self,
        carrier: textmap.CarrierT,  # noqa: ARG002  (the library's signature)
        context: Context | None = None,
        getter: textmap.Getter[textmap.CarrierT] = textmap.default_getter,  # noqa: ARG002  (the library's signature)
    ) -> Context:
        """Return a place from which a new trace begins."""
        return context or Context()

    def inject(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        setter: textmap.Setter[textmap.CarrierT] = textmap.default_setter,
    ) -> None:
        """Do nothing."""

    @property
    def fields(self) -> set[str]:
        """Return the headers that it writes: none."""
        return set()


def _batches(url: str) -> BatchSpanProcessor:
    exporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_SECONDS_MAX)
    return BatchSpanProcessor(
        ScrubbingExporter(exporter),
        max_queue_size=KEPT_MAX,
        schedule_delay_millis=DELAY_MS,
        max_export_batch_size=BATCH_MAX,
    )


def _fail(span: trace.Span, error: BaseException) -> None:
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(StatusCode.ERROR)


def _nothing(_: BaseException | None) -> None:
    """End what never began."""


@lru_cache(maxsize=STATEMENTS_MAX)
def _name_of(statement: str) -> str:
    """Return what a statement does to which table, as far as its words tell."""
    words = statement.split(maxsplit=1)
    target = TARGET.search(statement)
    return " ".join([*(word.upper() for word in words[:1]), *(target.groups() if target else ())])


@lru_cache(maxsize=STATEMENTS_MAX)
def _described(statement: str) -> Mapping[str, str]:
    return {"db.system.name": "postgresql", "db.query.text": " ".join(statement.split())}


def _following(place: SpanContext | None) -> Context:
    """Return where something goes on that follows from ``place``, or from nothing."""
    if place is None:
        return Context()
    return trace.set_span_in_context(NonRecordingSpan(place), Context())


def _place_of(trace_parent: object) -> SpanContext | None:
    """Return the place that a ``traceparent`` names, None when it names none."""
    parts = TRACE_PARENT.fullmatch(trace_parent) if isinstance(trace_parent, str) else None
    if parts is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in parts.groups())
    place = SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags))
    return place if place.is_valid else None
