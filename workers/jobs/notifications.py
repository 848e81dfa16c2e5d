"""RQ jobs of notifications: translate the payload, call one use case."""

from typing import Any
from uuid import UUID

from workers.runtime import run_job


def send_email(
    *, job_id: str, request_id: str | None = None, trace_parent: str | None = None, **_: Any
) -> None:
    """Send a notification by e-mail."""
    run_job(
        "send_email",
        lambda ecs: ecs.notifications.send_email(job_id=UUID(job_id)),
        request_id=request_id,
        trace_parent=trace_parent,
    )
