"""What stands around a bureau: whatever it does, a caller has an answer within seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from ecs.domain.prequalification.application import CreditEnquiry
from ecs.integrations.bureau.guarded import GuardedBureau, Guards
from ecs.integrations.exceptions import BureauUnavailable
from tests.unit.integrations.test_bureau_simulation import an_enquiry

Answer = int | BaseException | Callable[[], Awaitable[int]]
FIVE_OUTAGES: Sequence[Answer] = [BureauUnavailable()] * 5
QUICK: dict[str, Any] = {"ask_seconds": 0.1, "pause_seconds_max": 0.01, "open_seconds": 0.15}


async def nothing() -> int:
    await asyncio.Event().wait()
    raise AssertionError("an event that nobody sets")


class Script:
    """A bureau that does what it is told, one after the other, and the last thing for ever."""

    name = "script"

    def __init__(self, *answers: Answer) -> None:
        self.answers: Sequence[Answer] = answers
        self.asked = 0
        self.at_once = 0
        self.at_once_max = 0

    async def score(self, enquiry: CreditEnquiry) -> int:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        try:
            return await self._answered(answer)
        finally:
            self.at_once -= 1

    async def _answered(self, answer: Answer) -> int:
        await asyncio.sleep(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, int) else await answer()


def guarded(script: Script, **changes: Any) -> GuardedBureau:
    return GuardedBureau(script, Guards(**(QUICK | changes)))


async def ask(bureau: GuardedBureau) -> int | str:
    """The score, or why there is none."""
    try:
        return await bureau.score(an_enquiry(application_id=uuid4()))
    except BureauUnavailable as error:
        return str(error)


OPEN = "its breaker is open"


class TestGuardedBureau:
    async def test_has_the_name_of_the_bureau(self) -> None:
        assert guarded(Script(700)).name == "script"

    async def test_tells_what_the_bureau_tells(self) -> None:
        script = Script(700)
        assert await ask(guarded(script)) == 700
        assert script.asked == 1

    @pytest.mark.parametrize(
        "outage", [BureauUnavailable(), ConnectionResetError(), TimeoutError()]
    )
    async def test_asks_again_after_an_outage(self, outage: Exception) -> None:
        script = Script(outage, outage, 700)
        assert await ask(guarded(script)) == 700
        assert script.asked == 3

    async def test_asks_again_when_no_answer_comes(self) -> None:
        script = Script(nothing, 700)
        assert await ask(guarded(script)) == 700

    async def test_gives_up_after_three_tries(self) -> None:
        script = Script(BureauUnavailable())
        assert await ask(guarded(script)) == "BureauUnavailable"
        assert script.asked == 3

    async def test_lets_a_fault_of_ours_through_at_once(self) -> None:
        script = Script(ZeroDivisionError())
        bureau = guarded(script)
        for _ in range(10):
            with pytest.raises(ZeroDivisionError):
                await bureau.score(an_enquiry())
        assert script.asked == 10, "neither tried again nor counted by the breaker"

    async def test_passes_on_that_it_is_cancelled(self) -> None:
        asked = asyncio.Event()

        async def hang() -> int:
            asked.set()
            return await nothing()

        bureau = guarded(Script(hang), ask_seconds=60, total_seconds=60)
        asking = asyncio.create_task(ask(bureau))
        await asyncio.wait_for(asked.wait(), 10)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    async def test_asks_about_twenty_at_once_and_no_more(self) -> None:
        async def slowly() -> int:
            await asyncio.sleep(0.01)
            return 700

        script = Script(slowly)
        bureau = guarded(script)
        assert await asyncio.gather(*(ask(bureau) for _ in range(100))) == [700] * 100
        assert script.at_once_max == 20

    async def test_has_an_answer_for_a_hundred_at_once_soon_when_none_comes(self) -> None:
        script = Script(nothing)
        bureau = guarded(script)
        started = time.monotonic()
        answers = await asyncio.gather(*(ask(bureau) for _ in range(100)))
        # Those that were asked about when the breaker opened wait; the others do not any more.
        assert script.asked <= 20 + 4
        assert time.monotonic() - started < 2
        assert set(answers) == {OPEN}

    async def test_has_an_answer_within_its_time_even_if_the_breaker_never_opens(self) -> None:
        script = Script(nothing)
        bureau = guarded(script, failures_max=10_000, ask_seconds=60, total_seconds=0.25)
        started = time.monotonic()
        answers = await asyncio.gather(*(ask(bureau) for _ in range(100)))
        assert time.monotonic() - started < 5
        assert set(answers) == {"TimeoutError"}

    def test_keeps_a_batch_far_below_the_minute_that_a_handler_has(self) -> None:
        assert Guards().total_seconds <= 20
        assert Guards().ask_seconds == 2


class TestBreaker:
    async def test_opens_after_five_outages_and_asks_no_more(self) -> None:
        script = Script(BureauUnavailable())
        bureau = guarded(script, open_seconds=60)
        assert [await ask(bureau) for _ in range(4)] == ["BureauUnavailable", OPEN, OPEN, OPEN]
        assert script.asked == 5

    async def test_counts_outages_in_a_row(self) -> None:
        two_outages_and_a_score: tuple[Answer, ...] = (
            BureauUnavailable(),
            BureauUnavailable(),
            700,
        )
        script = Script(*(two_outages_and_a_score * 10))
        bureau = guarded(script)
        assert [await ask(bureau) for _ in range(10)] == [700] * 10

    async def test_closes_again_when_the_bureau_is_back(self) -> None:
        script = Script(*FIVE_OUTAGES, 700)
        bureau = guarded(script)
        assert [await ask(bureau) for _ in range(2)] == ["BureauUnavailable", OPEN]
        await asyncio.sleep(0.2)  # The breaker looks at the clock; nothing tells when it is time.
        assert [await ask(bureau) for _ in range(3)] == [700, 700, 700]

    async def test_opens_again_when_it_is_not(self) -> None:
        script = Script(BureauUnavailable())
        bureau = guarded(script)
        assert [await ask(bureau) for _ in range(2)] == ["BureauUnavailable", OPEN]
        await asyncio.sleep(0.2)
        assert await ask(bureau) == OPEN
        assert script.asked == 5 + 1, "one try was enough to know"

    async def test_is_asked_about_one_alone_while_nobody_knows_whether_it_is_back(self) -> None:
        script = Script(*FIVE_OUTAGES, nothing)
        bureau = guarded(script)
        await ask(bureau)
        await ask(bureau)
        await asyncio.sleep(0.2)
        answers = await asyncio.gather(*(ask(bureau) for _ in range(50)))
        assert script.asked == 5 + 1
        assert script.at_once_max == 1
        assert set(answers) == {OPEN}

    async def test_is_asked_about_many_again_once_one_was_answered(self) -> None:
        async def slowly() -> int:
            await asyncio.sleep(0.01)
            return 700

        script = Script(*FIVE_OUTAGES, slowly)
        bureau = guarded(script)
        await ask(bureau)
        await ask(bureau)
        await asyncio.sleep(0.2)
        assert await asyncio.gather(*(ask(bureau) for _ in range(50))) == [700] * 50
        assert script.at_once_max > 10

    async def test_says_each_change_once(self) -> None:
        script = Script(*FIVE_OUTAGES, 700)
        bureau = guarded(script)
        with capture_logs() as lines:
            await asyncio.gather(*(ask(bureau) for _ in range(50)))
            await asyncio.sleep(0.2)
            await asyncio.gather(*(ask(bureau) for _ in range(5)))
        assert [(line["event"], line["state"]) for line in lines] == [
            ("bureau.breaker-changed", "opened"),
            ("bureau.breaker-changed", "half-opened"),
            ("bureau.breaker-changed", "closed"),
        ]
