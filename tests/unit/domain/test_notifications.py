import pytest

from ecs.domain.notifications import (
    Message,
    NotificationKind,
    acceptance_failed,
    acceptance_refused,
    account_opened,
)


def messages() -> list[Message]:
    return [
        account_opened(credit_limit="4,550.00", currency="BRL"),
        acceptance_refused("You already have an active credit account."),
        acceptance_failed(),
    ]


def test_there_is_a_message_of_every_kind() -> None:
    assert {message.kind for message in messages()} == set(NotificationKind)


@pytest.mark.parametrize("kind", NotificationKind)
def test_is_written_in_whole_sentences(kind: NotificationKind) -> None:
    message = next(message for message in messages() if message.kind is kind)
    assert message.title[0].isupper()
    assert message.body.endswith(".")
    assert "  " not in message.body


def test_good_news_name_the_limit_as_it_was_offered() -> None:
    assert account_opened(credit_limit="4,550.00", currency="BRL") == Message(
        kind=NotificationKind.ACCOUNT_OPENED,
        title="Your credit account is open",
        body="You can use up to BRL 4,550.00 from now on.",
    )


def test_a_refusal_gives_its_reason_first() -> None:
    assert acceptance_refused("You already have an active credit account.") == Message(
        kind=NotificationKind.ACCEPTANCE_REFUSED,
        title="Your offer could not become an account",
        body=(
            "You already have an active credit account. The offer is closed; nothing was charged."
        ),
    )


def test_a_failure_says_that_the_offer_stands() -> None:
    assert acceptance_failed() == Message(
        kind=NotificationKind.ACCEPTANCE_FAILED,
        title="We could not open your account yet",
        body="Something went wrong on our side. Your offer stands; please accept it once more.",
    )
