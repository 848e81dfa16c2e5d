"""The queues' arguments: whoever changes one has to delete the queue of every installation."""

from ecs.domain.streams import DECISIONS, EMOTIONS
from ecs.integrations.rabbitmq.topology import (
    DEAD_QUEUE_ARGUMENTS,
    queue_arguments,
    retry_queue_arguments,
)


def test_the_queue_of_emotions_loses_nothing_and_refuses_what_is_too_much() -> None:
    assert queue_arguments(EMOTIONS) == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 20,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "ecs.emotions.dead",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-max-length": 1_000_000,
    }


def test_the_dead_queue_has_no_limits() -> None:
    assert DEAD_QUEUE_ARGUMENTS == {"x-queue-type": "quorum"}


def test_a_retry_queue_gives_everything_back_after_its_pause_and_loses_nothing() -> None:
    assert retry_queue_arguments(DECISIONS, 60) == {
        "x-queue-type": "quorum",
        "x-message-ttl": 60_000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "ecs.prequalification.decision",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
