"""What becomes of a batch when its handler or the dead queue fails."""

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from ecs.domain.streams import DeadLetter, Delivery, OutgoingMessage, Postponed, Stream
from ecs.integrations.exceptions import PublishInterrupted
from ecs.integrations.rabbitmq.handling import Handle, Handling
from ecs.integrations.rabbitmq.publisher import StreamPublisher

STREAM = Stream(
    exchange="e",
    routing_key="r",
    queue="q",
    dead_queue="dead",
    retry_seconds=(5, 5, 60),
    is_ours=True,
)


async def always() -> bool:
    return True


def a_handling(handle: Handle, *, publisher: object = None) -> Handling:
    return Handling(
        handle=handle,
        can_work=always,
        passing=(),
        publisher=cast(StreamPublisher, publisher),
        stream=STREAM,
        pauses_seconds=(0.001,),
    )


def a_delivery(body: bytes, **changes: Any) -> Delivery:
    values: dict[str, Any] = {"app_id": "a", "message_id": None, "redelivered": False}
    return Delivery(body=body, **(values | changes))


def a_letter(body: bytes, *, message_id: UUID) -> DeadLetter:
    return DeadLetter(message_id=message_id, body=body, code="malformed", reason="", client="a")


async def use_up(_: Sequence[Delivery]) -> list[DeadLetter]:
    return []


class Refusing:
    """A handler that fails for so many calls, and remembers them all."""

    def __init__(self, *, times: int, of: bytes | None = None) -> None:
        self.calls: list[list[bytes]] = []
        self._times = times
        self._of = of

    async def __call__(self, deliveries: Sequence[Delivery]) -> list[DeadLetter]:
        bodies = [delivery.body for delivery in deliveries]
        self.calls.append(bodies)
        if len(self.calls) <= self._times and (self._of is None or self._of in bodies):
            raise RuntimeError("a person was deleted in this instant")
        return []


class TestAFailingHandler:
    async def test_gets_the_whole_batch_once_more_before_it_is_taken_apart(self) -> None:
        handle = Refusing(times=1)
        batch = [a_delivery(b"1"), a_delivery(b"2")]
        assert await a_handling(handle).left_of(batch) == []
        assert handle.calls == [[b"1", b"2"], [b"1", b"2"]]

    async def test_gets_the_messages_one_by_one_when_it_fails_again(self) -> None:
        handle = Refusing(times=99, of=b"2")
        batch = [a_delivery(b"1"), a_delivery(b"2"), a_delivery(b"3")]
        [letter] = await a_handling(handle).left_of(batch)
        assert isinstance(letter, DeadLetter)
        assert (letter.body, letter.code) == (b"2", "unprocessable")
        assert handle.calls == 2 * [[b"1", b"2", b"3"]] + [[b"1"], [b"2"], [b"2"], [b"3"]]

    async def test_leaves_letters_of_different_ids_though_the_messages_share_one(self) -> None:
        batch = [a_delivery(body, message_id=str(uuid4())) for body in (b"1", b"1", b"2")]
        same = [a_delivery(body, message_id="same") for body in (b"1", b"2")]
        handling = a_handling(Refusing(times=99))
        letters = await handling.left_of([*batch, *same])
        ids = {letter.message_id for letter in letters if isinstance(letter, DeadLetter)}
        assert len(ids) == 5


class Dying:
    """A publisher that keeps what it confirms, and is cut off once."""

    def __init__(self, *, at_call: int) -> None:
        self.kept: list[bytes] = []
        self._calls = 0
        self._dies_at = at_call

    async def publish(self, messages: Sequence[OutgoingMessage], *, to: str) -> Mapping[UUID, str]:
        self._calls += 1
        assert len({message.message_id for message in messages}) == len(messages)
        if self._calls == self._dies_at:
            raise PublishInterrupted("it died", confirmed=frozenset())
        self.kept += [message.body for message in messages]
        return {}


class TestBurial:
    async def test_loses_no_letter_that_shares_its_id_with_one_that_was_confirmed(self) -> None:
        shared = uuid4()
        letters = [a_letter(body, message_id=shared) for body in (b"1", b"2", b"3")]
        for at_call in (1, 2, 3):
            publisher = Dying(at_call=at_call)
            await a_handling(use_up, publisher=publisher).put_aside(letters)
            assert publisher.kept == [b"1", b"2", b"3"]

    async def test_of_nothing_asks_nobody(self) -> None:
        await a_handling(use_up).put_aside([])


def a_postponed(attempt: int, **changes: Any) -> Postponed:
    delivery = a_delivery(b"1", attempt=attempt, **changes)
    return Postponed(delivery=delivery, code="bureau_unavailable", reason="It gave no score.")


class Keeping:
    """A publisher that keeps everything, by queue."""

    def __init__(self) -> None:
        self.kept: dict[str, list[OutgoingMessage]] = {}

    async def publish(self, messages: Sequence[OutgoingMessage], *, to: str) -> Mapping[UUID, str]:
        self.kept.setdefault(to, []).extend(messages)
        return {}


class TestPostponing:
    @pytest.mark.parametrize(
        ("attempt", "queue"), [(1, "q.retry-5s"), (2, "q.retry-5s"), (3, "q.retry-60s")]
    )
    async def test_puts_a_message_into_the_queue_of_its_attempt(
        self, attempt: int, queue: str
    ) -> None:
        message_id, publisher = uuid4(), Keeping()
        postponed = a_postponed(attempt, message_id=str(message_id))
        await a_handling(use_up, publisher=publisher).put_aside([postponed])
        [[message]] = publisher.kept.values()
        assert set(publisher.kept) == {queue}
        assert (message.message_id, message.body, message.app_id) == (message_id, b"1", "a")
        assert message.headers == {"x-ecs-attempt": attempt + 1}

    @pytest.mark.parametrize("attempt", [4, 5, 1000])
    async def test_too_often_is_death_of_the_same_code_and_reason(self, attempt: int) -> None:
        postponed = a_postponed(attempt, message_id=str(UUID(int=7)))

        async def postpone(_: Sequence[Delivery]) -> list[Postponed]:
            return [postponed]

        [letter] = await a_handling(postpone).left_of([postponed.delivery])
        assert letter == DeadLetter(
            message_id=UUID(int=7),
            body=b"1",
            code="bureau_unavailable",
            reason="It gave no score.",
            client="a",
        )

    async def test_takes_a_stranger_without_an_id_and_with_an_impossible_name(self) -> None:
        publisher = Keeping()
        await a_handling(use_up, publisher=publisher).put_aside(
            [a_postponed(1, message_id="me", app_id="x" * 300), a_postponed(1, app_id=None)]
        )
        [messages] = publisher.kept.values()
        assert {message.app_id for message in messages} == {None}
        assert len({message.message_id for message in messages}) == 2
