"""RQ jobs of emotional events: translate the payload, call one use case."""

from workers.runtime import run_job


def remove_expired() -> None:
    """Delete raw events whose time is over."""
    run_job("remove_expired_events", lambda ecs: ecs.emotions.remove_expired())
