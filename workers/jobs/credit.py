"""RQ jobs of the credit domain: translate the payload, call one use case."""

from typing import Any
from uuid import UUID

from workers.runtime import run_job


def open_account(
    *, job_id: str, request_id: str | None = None, trace_parent: str | None = None, **_: Any
) -> None:
    """Open the account of an accepted offer."""
    run_job(
        "open_account",
        lambda ecs: ecs.acceptance.open_account(job_id=UUID(job_id)),
        request_id=request_id,
        trace_parent=trace_parent,
    )


def expire_offers() -> None:
    """Mark the offers whose time is over."""
    run_job("expire_offers", lambda ecs: ecs.credit.expire_lapsed_offers())
