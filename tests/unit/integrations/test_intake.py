"""Batches: by number, by size, by time; nothing lost, nothing out of order."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from ecs.integrations.rabbitmq.intake import BatchLimits, Intake

FOREVER = 3600.0


async def all_batches(sizes: list[int], limits: BatchLimits) -> list[list[tuple[int, int]]]:
    intake = Intake[tuple[int, int]](limits)
    for place, size in enumerate(sizes):
        intake.put((place, size), size=size)
    intake.finish()
    batches = []
    while (found := (await intake.batch())[0]) != []:
        batches.append(found)
    return batches


class TestIntake:
    @given(
        sizes=st.lists(st.integers(0, 60), max_size=40),
        messages_max=st.integers(1, 7),
        bytes_max=st.integers(1, 100),
    )
    def test_cuts_everything_in_order_into_batches_that_keep_the_limits(
        self, sizes: list[int], messages_max: int, bytes_max: int
    ) -> None:
        limits = BatchLimits(messages_max=messages_max, bytes_max=bytes_max, seconds_max=FOREVER)
        batches = asyncio.run(all_batches(sizes, limits))
        assert [item for batch in batches for item in batch] == list(enumerate(sizes))
        for batch in batches:
            assert 1 <= len(batch) <= messages_max
            assert len(batch) == 1 or sum(size for _, size in batch) <= bytes_max

    async def test_does_not_wait_once_a_batch_is_full(self) -> None:
        intake = Intake[str](BatchLimits(messages_max=2, seconds_max=FOREVER))
        waiting = asyncio.create_task(intake.batch())
        for message in ("a", "b", "c"):
            await asyncio.sleep(0)
            intake.put(message, size=1)
        assert (await waiting)[0] == ["a", "b"]
        assert intake.in_hand == 3

    async def test_does_not_wait_once_there_are_enough_bytes(self) -> None:
        intake = Intake[str](BatchLimits(bytes_max=10, seconds_max=FOREVER))
        intake.put("large", size=10)
        assert (await intake.batch())[0] == ["large"]

    async def test_waits_so_long_after_the_first_message(self) -> None:
        intake = Intake[str](BatchLimits(seconds_max=0.05))
        intake.put("alone", size=1)
        found, waited = await intake.batch()
        assert found == ["alone"]
        assert waited >= 0.05

    async def test_hands_over_what_is_left_and_ends_when_it_finishes(self) -> None:
        intake = Intake[str](BatchLimits(seconds_max=FOREVER))
        waiting = asyncio.create_task(intake.batch())
        await asyncio.sleep(0)
        intake.put("last", size=1)
        intake.finish()
        assert (await waiting)[0] == ["last"]
        assert await intake.batch() == ([], 0.0)

    async def test_knows_how_much_is_in_hand(self) -> None:
        intake = Intake[str](BatchLimits(messages_max=2, seconds_max=FOREVER))
        for message in ("a", "b", "c"):
            intake.put(message, size=1)
        assert (intake.taken, intake.in_hand) == (3, 3)
        await intake.batch()
        assert intake.in_hand == 3
        intake.finish()
        await intake.batch()
        assert intake.in_hand == 1
