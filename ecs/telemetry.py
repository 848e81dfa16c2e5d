"""What a process starts with: how it is measured, traced and heard when something goes wrong."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ecs import VERSION
from ecs.config import Settings
from ecs.domain.measures import INFORMATION, LOG_LINES
from ecs.domain.telemetry import UNMEASURED, UNTRACED, Measures, Traces
from ecs.integrations.risk_model_file import shipped_risk_model
from ecs.integrations.telemetry.forwarding import receive_forwarded
from ecs.integrations.telemetry.prometheus import PrometheusMeasures
from ecs.log import configure_logging

COUNTED_LEVELS: Final = frozenset(LOG_LINES.labels["level"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """
    How a process is watched.

    ``exposition`` is what Prometheus reads, None when nothing is measured. ``tracer_provider`` is
    OpenTelemetry's, None when nothing is traced; ``begin_statement`` is told each SQL statement and
    returns what ends it.
    """

    measures: Measures = UNMEASURED
    traces: Traces = UNTRACED
    exposition: Callable[[], bytes] | None = None
    tracer_provider: Any = None
    begin_statement: Callable[[str], Callable[[BaseException | None], None]] | None = None


UNWATCHED: Final = Telemetry()


def start_telemetry(
    settings: Settings, *, service: str, port: int = 0, forks: bool = False
) -> Telemetry:
    """
    Configure logging and return how this process is watched. Once a process.

    What a setting turns off is not imported. It shows its measures on ``port``; the API, which has
    a page for them, on none. One that ``forks`` measures by a pipe, as do its forks: they would
    wait for ever for a lock that one of its threads held as they were made.
    """
    prometheus = PrometheusMeasures() if settings.metrics.enabled else None
    traced = _traces(settings, service=service)
    telemetry = Telemetry(
        measures=_measures(prometheus, forks=forks),
        exposition=prometheus.exposition if prometheus else None,
        **traced,
    )
    configure_logging(
        level=settings.log_level,
        service=service,
        hear=_hear(telemetry.measures, _report(settings, service=service)),
    )
    telemetry.measures.set(INFORMATION, 1, **_information(settings, service=service))
    if prometheus and port:
        prometheus.serve(host=settings.metrics.host, port=port)
    return telemetry


def _measures(prometheus: PrometheusMeasures | None, *, forks: bool) -> Measures:
    if prometheus is None:
        return UNMEASURED
    return receive_forwarded(prometheus) if forks else prometheus


def _information(settings: Settings, *, service: str) -> dict[str, str]:
    model = shipped_risk_model()
    return {
        "service": service,
        "version": VERSION,
        "environment": settings.environment,
        "model": model.scorecard.reference.version,
        "policy": model.policy.reference.version,
    }


def _traces(settings: Settings, *, service: str) -> dict[str, Any]:
    if not settings.telemetry.otel_exporter_otlp_endpoint:
        return {}
    from ecs.integrations.telemetry.tracing import OpenTelemetryTraces  # noqa: PLC0415  (if asked)

    traces = OpenTelemetryTraces(
        settings.telemetry.otel_exporter_otlp_endpoint,
        service=service,
        environment=settings.environment,
        version=VERSION,
    )
    return {
        "traces": traces,
        "tracer_provider": traces.provider,
        "begin_statement": traces.begin_statement,
    }


def _report(settings: Settings, *, service: str) -> Callable[[Mapping[str, Any]], None] | None:
    if not settings.telemetry.sentry_dsn:
        return None
    from ecs.integrations.telemetry.error_reports import start_reports  # noqa: PLC0415  (if asked)

    return start_reports(
        settings.telemetry.sentry_dsn,
        service=service,
        environment=settings.environment,
        version=VERSION,
    )


def _hear(
    measures: Measures, report: Callable[[Mapping[str, Any]], None] | None
) -> Callable[[Mapping[str, Any]], None]:
    """Return what hears every line that is logged: it counts bad ones, and reports errors."""

    def hear(line: Mapping[str, Any]) -> None:
        level = line.get("level")
        if level in COUNTED_LEVELS:
            measures.count(LOG_LINES, level=str(level))
            if report is not None and level != "warning":
                report(line)

    return hear
