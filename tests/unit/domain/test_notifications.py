import pytest

from ecs.domain.notifications import (
    Message,
    NotificationKind,
    acceptance_failed,
    acceptance_refused,
    account_opened,
)

MESSAGES = (
    account_opened(credit_limit="4550.00", currency="BRL"),
    acceptance_refused("You already have an active credit account."),
    acceptance_failed(),
)


def test_there_is_a_message_of_every_kind() -> None:
    assert {message.kind for message in MESSAGES} == set(NotificationKind)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.kind)
def test_is_written_in_whole_sentences(message: Message) -> None:
    assert message.title[0].isupper()
    assert message.body.endswith(".")
    assert "  " not in message.body


def test_good_news_name_the_limit_as_it_was_offered() -> None:
    assert "BRL 4550.00" in MESSAGES[0].body


def test_a_refusal_gives_its_reason_first() -> None:
    assert MESSAGES[1].body.startswith("You already have an active credit account. ")


def test_a_failure_says_that_the_offer_stands() -> None:
    assert "offer stands" in MESSAGES[2].body
