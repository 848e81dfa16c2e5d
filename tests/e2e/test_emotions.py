import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from scripts.demo_people import PERSONAS
from scripts.stack import Stack
from scripts.stack.place import CHECKOUT
from tests.amqp import Taken
from tests.e2e.emotions_support import (
    CONSUMER,
    Devices,
    an_event,
    devices_of,
    flood,
    ids,
    insist,
    mood,
)
from tests.e2e.support import Outside, Person, outside, until

DAY = timedelta(days=1)


@pytest.fixture
async def world(stack: Stack) -> AsyncIterator[Outside]:
    async with outside(stack) as found:
        await found.execute("TRUNCATE emotional_events")
        yield found


@pytest.fixture
async def devices(world: Outside) -> AsyncIterator[Devices]:
    with devices_of(world) as found:
        yield found


@pytest.fixture
async def person(world: Outside, devices: Devices) -> Person:
    someone = await world.someone()
    await devices.consenting(someone)
    return someone


async def stored_as(devices: Devices, expected: dict[str, int], *, seconds: float = 30) -> None:
    """Wait until every event is stored; then nothing else is there, alive or dead."""
    assert await letters_beside(devices, expected, seconds=seconds) == []


async def letters_beside(
    devices: Devices, expected: dict[str, int], *, seconds: float
) -> list[Taken]:
    """Wait until every event is stored, and nothing else is; return the dead letters."""

    async def is_there() -> bool:
        return expected.keys() <= (await devices.stored()).keys()

    await until(is_there, seconds=seconds, what=f"{len(expected)} events")
    letters = await devices.settled()
    assert await devices.stored() == expected
    return letters


class TestTheStream:
    async def test_stores_events_of_single_messages_and_of_batches(
        self, devices: Devices, person: Person
    ) -> None:
        single, *batch = (an_event(person) for _ in range(1001))
        devices.publish(single, {"events": batch})
        await stored_as(devices, ids([single, *batch]))

    async def test_stores_once_what_comes_through_both_doors(
        self, devices: Devices, person: Person
    ) -> None:
        events = [an_event(person) for _ in range(50)]
        devices.publish(*events)
        answers, _ = await asyncio.gather(devices.post(events), stored_as(devices, ids(events)))
        assert answers["rejected"] == 0
        assert (await devices.post(events))["duplicates"] == 50
        devices.publish(*events)
        await stored_as(devices, ids(events))

    async def test_buries_what_it_cannot_store_with_the_reason_and_leaves_the_neighbours_alone(
        self, world: Outside, devices: Devices, person: Person
    ) -> None:
        stranger = await world.someone()
        taken = an_event(person)
        assert (await devices.post([taken]))["accepted"] == 1
        poison: dict[str, Any] = {
            "malformed": b"{not json",
            "invalid_field": an_event(person, valence=7),
            "unknown_user": an_event(person, user_id=str(uuid4())),
            "consent_missing": an_event(stranger),
            "future_timestamp": an_event(person, age=-timedelta(hours=1)),
            "too_old": an_event(person, age=31 * DAY),
            "id_conflict": taken | {"valence": -0.5},
        }
        sound = [an_event(person) for _ in range(200)]
        mixed = [*poison.values(), *sound]
        random.Random(1).shuffle(mixed)
        batches_before = len(devices.batches())
        devices.publish(*mixed)
        dead = await devices.dead(len(poison))
        await stored_as(devices, ids([taken, *sound]))
        assert {letter.headers["x-ecs-code"] for letter in dead} == poison.keys()
        assert len(dead) == len(poison)
        for letter in dead:
            bad = poison[letter.headers["x-ecs-code"]]
            assert letter.body == (bad if isinstance(bad, bytes) else json.dumps(bad).encode())
            assert letter.headers["x-ecs-client"] == devices.client_id
            assert len(letter.headers["x-ecs-reason"]) > 10
        assert all(batch["redelivered"] == 0 for batch in devices.batches()[batches_before:])

    @pytest.mark.parametrize("app_id", [None, "nobody", str(uuid4())], ids=["none", "odd", "other"])
    async def test_does_not_know_who_does_not_say_who_it_is(
        self, devices: Devices, person: Person, app_id: str | None
    ) -> None:
        devices.publish({"events": [an_event(person), an_event(person)]}, app_id=app_id)
        dead = await devices.dead(2)
        assert [letter.headers["x-ecs-code"] for letter in dead] == 2 * ["unknown_client"]
        await stored_as(devices, {})

    async def test_a_dead_letter_can_be_driven_again_once_its_cause_is_gone(
        self, world: Outside, devices: Devices
    ) -> None:
        late = await world.someone()
        event = an_event(late)
        devices.publish(event, b"nonsense")
        await devices.are_dead(2)
        await devices.consenting(late)
        said = await run_script(world.stack, "dead_letters", "--redrive", "consent_missing")
        assert "1 sent" in said
        assert [letter.body for letter in await devices.dead(1)] == [b"nonsense"]
        await stored_as(devices, ids([event]))


class TestTheProducer:
    async def test_tells_the_same_story_twice(self, world: Outside, devices: Devices) -> None:
        words = ["--count", "61", "--rate", "500", "--seed", "3", "--days", "2"]
        words += ["--until", datetime.now(UTC).isoformat()]
        for _ in range(2):
            said = await run_script(
                world.stack, "produce_emotions", *words, *logins_of(world.stack)
            )
            assert f"61 events of {len(PERSONAS)} people" in said
            await until(lambda: _grown(devices, 60), what="the story")
            assert await devices.settled() == []
            assert len(await devices.stored()) == 61


class TestFaults:
    async def test_a_consumer_killed_five_times_loses_nothing_and_repeats_nothing(
        self, world: Outside, devices: Devices, person: Person
    ) -> None:
        dice = random.Random(20)
        distinct = [an_event(person) for _ in range(9_000)]
        poison = [an_event(person, valence=2 + number) for number in range(20)]
        messages = [*distinct, *dice.sample(distinct, 1_000), *poison]
        dice.shuffle(messages)
        parts = [messages[start : start + 2_004] for start in range(0, len(messages), 2_004)]
        assert len(parts) == 5
        for part in parts:
            before = len(await devices.stored())
            await flood(world.stack, devices.client_id, part)
            await until(lambda: _grown(devices, before), what="a first batch")  # noqa: B023  (awaited here)
            old = world.stack.kill(CONSUMER, signal.SIGKILL)
            await asyncio.to_thread(world.stack.wait_for_restart, CONSUMER, old_pid=old)
        dead = await letters_beside(devices, ids(distinct), seconds=60)
        found = [json.loads(letter.body)["valence"] for letter in dead]
        # A letter comes twice when the kill falls between its confirm and the acknowledgement.
        assert sorted(set(found)) == [2 + number for number in range(20)]
        assert len(found) <= 20 + 5 * 20
        assert {letter.headers["x-ecs-code"] for letter in dead} == {"invalid_field"}

    async def test_a_broker_killed_under_load_keeps_what_it_has_confirmed(
        self, world: Outside
    ) -> None:
        person = await world.someone()
        with devices_of(world) as devices:  # Closed before the kill.
            await devices.consenting(person)
        events = [an_event(person) for _ in range(5_000)]
        load = asyncio.create_task(insist(world.stack, devices.client_id, events))
        await until(lambda: _grown(devices, 500), what="some events")
        old = world.stack.kill("rabbitmq", signal.SIGKILL)
        await asyncio.to_thread(world.stack.wait_for_restart, "rabbitmq", old_pid=old)
        at_return = len(await devices.stored())
        await until(lambda: _grown(devices, at_return), seconds=20, what="work after its return")
        await load
        with devices_of(world, purge=False) as again:
            await stored_as(again, ids(events))

    async def test_a_database_that_is_down_is_waited_for(
        self, world: Outside, devices: Devices, person: Person
    ) -> None:
        events = [an_event(person) for _ in range(1_500)]
        await asyncio.to_thread(world.stack.stop_program, "postgres")
        try:
            await asyncio.to_thread(devices.publish, *events)
            await until(
                lambda: _held(devices),
                seconds=20,
                what="a batch that is held",
            )
        finally:
            await asyncio.to_thread(world.stack.start_program, "postgres")
        await stored_as(devices, ids(events))

    async def test_a_consumer_that_is_told_to_stop_finishes_what_it_has_taken(
        self, world: Outside, devices: Devices, person: Person
    ) -> None:
        events = [an_event(person) for _ in range(1_500)]
        sending = asyncio.create_task(asyncio.to_thread(devices.publish, *events))
        await until(lambda: _grown(devices, 0), what="a first batch")
        batches_before = len(devices.batches())
        await asyncio.to_thread(world.stack.restart, CONSUMER)
        await sending
        await stored_as(devices, ids(events))
        # A message that is sent in the very moment of the leave may be on its way.
        assert sum(batch["redelivered"] for batch in devices.batches()[batches_before:]) <= 5


class TestTheDecision:
    async def test_of_three_people_with_the_same_finances_differs_in_the_limit_alone(
        self, world: Outside, devices: Devices
    ) -> None:
        offers: dict[str, Any] = {}
        for name, valence in (("cheerful", 0.8), ("sad", -0.8), ("silent", None)):
            somebody = await world.an_applicant()
            if valence is not None:
                await devices.consenting(somebody)
                assert (await devices.post(mood(somebody, valence)))["accepted"] == 30
            offers[name] = (await world.apply(somebody)).json()
        alike = [
            (offer["status"], offer["credit_type"], offer["apr"], offer["tenor_months"])
            for offer in offers.values()
        ]
        assert alike[0] == alike[1] == alike[2]
        assert len({offer["assessment"]["risk_category"] for offer in offers.values()}) == 1
        assert float(offers["cheerful"]["credit_limit"]) > float(offers["sad"]["credit_limit"])
        assert offers["sad"]["credit_limit"] == offers["silent"]["credit_limit"]
        told = {name: offer["assessment"]["emotion"] for name, offer in offers.items()}
        assert told["cheerful"]["information"]["code"] == "E01"
        assert told["cheerful"]["used"] is told["sad"]["used"] is True
        assert told["sad"]["information"] is None
        assert told["sad"]["factor"] == "1.000000"
        assert told["silent"]["absent_reason"] == "no_consent"

    async def test_forgets_the_mood_of_whoever_withdraws_and_changes_nothing_else(
        self, world: Outside, devices: Devices
    ) -> None:
        somebody = await world.an_applicant()
        consent_id = await devices.consenting(somebody)
        await devices.post(mood(somebody, 0.8))
        first = (await world.apply(somebody)).json()
        assert first["assessment"]["emotion"]["consent_ids"] == [consent_id]
        await devices.withdraw(somebody)

        assert (await world.apply(somebody)).json() == first  # The offer stands as it is.
        answer = await devices.post([an_event(somebody)])
        assert [item["code"] for item in answer["results"]] == ["consent_missing"]
        devices.publish(an_event(somebody))
        [letter] = await devices.dead(1)
        assert letter.headers["x-ecs-code"] == "consent_missing"

        await world.execute(
            "UPDATE credit_offers SET created_at = now() - interval '2 h',"
            " expires_at = now() - interval '1 h' WHERE id = $1",
            first["id"],
        )
        second = (await world.apply(somebody)).json()
        assert second["id"] != first["id"]
        assert second["assessment"]["emotion"]["absent_reason"] == "no_consent"
        assert second["credit_limit"] == first["assessment"]["limit"]["without_emotion"]
        for same in ("status", "credit_type", "apr", "tenor_months"):
            assert second[same] == first[same]
        assert second["assessment"]["reasons"] == first["assessment"]["reasons"]
        assert second["assessment"]["score"] == first["assessment"]["score"]


async def run_script(stack: Stack, name: str, *words: str) -> str:
    """Run a developer's command on the running stack; return what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"scripts.{name}", *words),
        cwd=CHECKOUT,
        env=os.environ | stack.env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


def logins_of(stack: Stack) -> tuple[str, str]:
    return "--logins", str(stack.public / "demo.json")


async def _grown(devices: Devices, before: int) -> bool:
    return len(await devices.stored()) > before


async def _held(devices: Devices) -> bool:
    return bool(devices.world.logged(CONSUMER, event="stream.batch-held"))
