"""RQ jobs of the outbox: translate the payload, call one use case."""

from workers.runtime import run_job


def clean_up() -> None:
    """Delete what nobody will ask for again."""
    run_job("clean_up", lambda ecs: ecs.outbox.clean_up())
