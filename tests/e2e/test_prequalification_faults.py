"""Whatever dies between an application and its decision, each is decided, and decided once."""

import asyncio
import logging
import random
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest

from scripts.stack import Stack
from tests.e2e.prequalification_support import (
    FIRST_RETRY_QUEUE,
    Applicants,
    an_application,
    lie_in,
    numbered,
    own_credit_report,
    without_credit_report,
)
from tests.e2e.support import Outside, at_most, outside, slow_first, until

log = logging.getLogger(__name__)

APPLICATIONS_MANY: Final = 500
FROZEN_SECONDS: Final = 20
BACK_SECONDS_MAX: Final = 30.0
# RabbitMQ 3.10 may lose the log of a quorum queue that is killed in its first seconds.
SETTLING_SECONDS: Final = 6
KILLS: Final = 6
PROGRAMS: Final = ("outbox-relay", "credit-report", "decision")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Stack]:
    """A stack whose broker may be killed: nobody else uses it."""
    with Stack(throwaway=True) as running:
        yield running


@pytest.fixture
async def ecs(own_stack: Stack) -> AsyncIterator[Outside]:
    """The running system from outside; what must always hold is checked at the end."""
    async with outside(own_stack) as ecs:
        yield ecs


@pytest.fixture
async def applicants(ecs: Outside) -> Applicants:
    """Eight people without anything."""
    return Applicants(world=ecs, people=[await ecs.someone() for _ in range(8)])


async def submit_all(applicants: Applicants, count: int) -> list[str]:
    """Apply so many times, each with a PAN of its own; return the ids."""
    return await at_most(
        8, [applicants.submitted(an_application(), by=number) for number in range(count)]
    )


class TestTheBroker:
    @pytest.mark.parametrize("how", ["killed", "frozen"])
    async def test_away_while_five_hundred_apply_delays_every_decision_and_loses_none(
        self, applicants: Applicants, ecs: Outside, how: str
    ) -> None:
        await applicants.decided(await applicants.submitted(an_application()))
        await asyncio.sleep(SETTLING_SECONDS)
        if how == "killed":
            ids, returned = await self._killed(applicants, ecs)
        else:
            ids, returned = await self._frozen(applicants, ecs)
        await applicants.all_decided(ids, seconds=BACK_SECONDS_MAX)
        took = asyncio.get_running_loop().time() - returned
        log.info("broker %s: %d decided %.1f s after its return", how, len(ids), took)
        assert took < BACK_SECONDS_MAX
        await applicants.assert_decided_once(ids)

    async def _killed(self, applicants: Applicants, ecs: Outside) -> tuple[list[str], float]:
        submitting = asyncio.create_task(submit_all(applicants, APPLICATIONS_MANY))
        await asyncio.sleep(1)  # In the middle of it.
        old = ecs.stack.kill("rabbitmq", signal.SIGKILL)
        await asyncio.to_thread(ecs.stack.wait_for_restart, "rabbitmq", old_pid=old)
        await asyncio.to_thread(ecs.stack.wait_for, "rabbitmq")
        ids = await submitting
        return ids, asyncio.get_running_loop().time()

    async def _frozen(self, applicants: Applicants, ecs: Outside) -> tuple[list[str], float]:
        submitting = asyncio.create_task(submit_all(applicants, APPLICATIONS_MANY))
        await asyncio.sleep(1)
        ecs.stack.kill("rabbitmq", signal.SIGSTOP)
        try:
            await asyncio.sleep(FROZEN_SECONDS)
            ids = await submitting
        finally:
            ecs.stack.kill("rabbitmq", signal.SIGCONT)
        return ids, asyncio.get_running_loop().time()


class TestAProcessKilled:
    @pytest.mark.parametrize("program", PROGRAMS)
    async def test_again_and_again_at_random_moments_leaves_no_application_behind(
        self, applicants: Applicants, ecs: Outside, program: str
    ) -> None:
        submitting = asyncio.create_task(submit_all(applicants, 120))
        for _ in range(KILLS):
            await asyncio.sleep(random.uniform(0, 0.4))  # A random moment is the point.
            old = ecs.stack.kill(program)
            await asyncio.to_thread(ecs.stack.wait_for_restart, program, old_pid=old)
        ids = await submitting
        took = await applicants.all_decided(ids, seconds=60)
        log.info("%s killed %d times: all decided after %.1f s", program, KILLS, took)
        await applicants.assert_decided_once(ids)

    @pytest.mark.parametrize(
        ("program", "writing", "condition"),
        [
            ("credit-report", "INSERT ON audit_log", "NEW.action = 'DECRYPT'"),
            ("credit-report", "INSERT ON credit_reports", "true"),
            ("credit-report", "INSERT ON outbox_events", "NEW.kind = 'credit_report_generated'"),
            ("decision", "INSERT ON processed_messages", "NEW.consumer = 'decision'"),
            ("decision", "UPDATE ON prequalification_applications", "NEW.version = 2"),
            ("outbox-relay", "UPDATE ON outbox_events", "NEW.published_at IS NOT NULL"),
        ],
        ids=["audit", "report", "announcement", "memory", "decision", "mark"],
    )
    async def test_in_the_middle_of_a_step_repeats_it_without_a_trace(
        self, applicants: Applicants, ecs: Outside, program: str, writing: str, condition: str
    ) -> None:
        async with slow_first(ecs, writing, condition=condition, seconds=8) as has_begun:
            ids = await submit_all(applicants, 3)
            await until(has_begun, what=f"the {program} at its step")
            old = ecs.stack.kill(program)
            await asyncio.to_thread(ecs.stack.wait_for_restart, program, old_pid=old)
            await applicants.all_decided(ids, seconds=30)
        await applicants.assert_decided_once(ids)

    async def test_an_api_in_a_submission_leaves_one_application_under_its_key(
        self, applicants: Applicants, ecs: Outside
    ) -> None:
        keys = numbered("killed-api")
        for program in ("api-1", "api-2", "api-1", "api-2"):
            body, key = an_application(), next(keys)
            async with slow_first(
                ecs, "INSERT ON idempotency_keys", condition="true", seconds=1
            ) as has_begun:
                first = asyncio.create_task(applicants.submit(body, key=key))
                await until(has_begun, what="the submission in the middle")
                old = ecs.stack.kill(program)
                await asyncio.gather(first, return_exceptions=True)
            await asyncio.to_thread(ecs.stack.wait_for_restart, program, old_pid=old)
            await asyncio.to_thread(ecs.stack.wait_for, program)
            again = await applicants.submit(body, key=key)
            assert again.status_code == 202, again.text
            await applicants.decided(again.json()["application_id"])
            await applicants.assert_decided_once([again.json()["application_id"]])


class TestABureauThatIsDown:
    async def test_leaves_applications_pending_until_it_is_back(
        self, applicants: Applicants, ecs: Outside
    ) -> None:
        async with (
            without_credit_report(ecs),
            own_credit_report(ecs, BUREAU_SIMULATION="refuses"),
        ):
            ids = await submit_all(applicants, 3)
            await until(lambda: lie_in(ecs, FIRST_RETRY_QUEUE, 3), what="the retry queue")
            for application_id, by in zip(ids, range(3), strict=True):
                status = await applicants.status(application_id, by=by)
                assert (status["status"], status["cibil_score"]) == ("PENDING", None)
        took = await applicants.all_decided(ids, seconds=30)
        log.info("bureau back: all decided after %.1f s", took)
        await applicants.assert_decided_once(ids)
