"""Logging: one JSON object a line on standard output, the libraries' own lines included."""

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

import structlog

Hear = Callable[[Mapping[str, Any]], None]


def configure_logging(*, level: str, service: str, hear: Hear = lambda _: None) -> None:
    """
    Send everything this process logs to standard output, marked with ``service``.

    ``hear`` is given each line before it is written, with the exception itself if there is one.
    """
    shared = _processors(hear)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )

    def name_service(
        _: object, __: str, event: structlog.types.EventDict
    ) -> structlog.types.EventDict:
        return {"service": service, **event}

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                name_service,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # RQ says every few seconds that it tidies up; the jobs and the processes speak for themselves.
    for noisy in ("httpx", "asyncio", "sqlalchemy", "rq.worker", "rq.cron", "rq.scheduler"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    # Whoever loses the broker, or a collector of traces, says so in a line; the libraries would add
    # a stack for each try.
    for told_by_us in ("aiormq", "aio_pika", "opentelemetry", "sentry_sdk", "urllib3"):
        logging.getLogger(told_by_us).setLevel(logging.CRITICAL)
    for own_handlers in ("uvicorn", "uvicorn.error", "rq.worker", "rq.cron", "rq.scheduler"):
        logger = logging.getLogger(own_handlers)
        logger.handlers[:] = []
        logger.propagate = True


def _processors(hear: Hear) -> list[structlog.types.Processor]:
    def tell(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        hear(event)
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        tell,
        structlog.processors.format_exc_info,
    ]
