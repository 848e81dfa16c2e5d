"""A new key for PANs, then everything under it, while people go on applying and asking."""

import asyncio
import logging
import sys
from collections import Counter
from typing import Any, Final

import httpx

from scripts.stack import encryption_keys
from scripts.stack.place import CHECKOUT
from tests.e2e.prequalification_support import APPLICATIONS, Applicants, an_application
from tests.e2e.support import Outside

log = logging.getLogger(__name__)

PEOPLE: Final = 10
BEFORE: Final = 100
REQUESTS_A_SECOND: Final = 50
# Fewer than an instance has connections: a machine full of other tests makes them slow, not fail.
AT_ONCE_MAX: Final = 8
REQUESTS_MIN: Final = 300
# Of five requests one applies, four look at what became of an application.
WRITES_EVERY: Final = 5
BUSY: Final = 503
# An instance that starts on a machine full of other tests may ask a few to come again.
BUSY_MAX: Final = 10
DECIDED_SECONDS_MAX: Final = 60
ON_OTHER_KEYS: Final = (
    "SELECT (SELECT count(*) FROM prequalification_applications WHERE pan_key_id <> $1)"
    " + (SELECT count(*) FROM outbox_events WHERE name = 'prequalification.application-submitted'"
    "    AND convert_from(substring(decode(payload->>'pan_encrypted', 'base64') FROM 3 FOR"
    "    get_byte(decode(payload->>'pan_encrypted', 'base64'), 1)), 'UTF8') <> $1)"
)


class Load:
    """Requests at a steady rate until it is enough."""

    def __init__(self, applicants: Applicants, ids: list[str]) -> None:
        self.applicants = applicants
        self.ids = ids
        self.outcomes: Counter[str] = Counter()
        self.busy = 0
        self.enough = asyncio.Event()
        self.free = asyncio.Semaphore(AT_ONCE_MAX)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as requests:
            number = 0
            while not self.enough.is_set():
                number += 1
                await self.free.acquire()
                requests.create_task(self._request(number)).add_done_callback(self._release)
                await asyncio.sleep(1 / REQUESTS_A_SECOND)

    def _release(self, _: asyncio.Task[None]) -> None:
        self.free.release()

    async def _request(self, number: int) -> None:
        send = self._write if number % WRITES_EVERY == 0 else self._read
        try:
            answer = await send(number)
            while is_busy(answer) and self.busy < BUSY_MAX:
                self.busy += 1
                await asyncio.sleep(float(answer.headers["Retry-After"]))
                answer = await send(number)
        except httpx.TransportError as error:
            self.outcomes[type(error).__name__] += 1
        else:
            self.outcomes[f"{answer.request.method} {answer.status_code}"] += 1
            if not answer.is_success:
                log.info("refused: %s", answer.text)

    async def _write(self, number: int) -> httpx.Response:
        answer = await self.applicants.submit(an_application(), by=number)
        if answer.is_success:
            self.ids.append(str(answer.json()["application_id"]))
        return answer

    async def _read(self, number: int) -> httpx.Response:
        which = number % BEFORE
        return await self.applicants.world.get(
            self.applicants.people[which % PEOPLE], f"{APPLICATIONS}/{self.ids[which]}/status"
        )


def is_busy(answer: httpx.Response) -> bool:
    """Whether a machine that has too much to do asked to come again: nothing was refused."""
    return answer.status_code == BUSY and answer.json()["code"] == "busy"


async def command(ecs: Outside, *words: str) -> tuple[int | None, str]:
    """Run one of our commands as make would; return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *words),
        cwd=CHECKOUT,
        env={"LANG": "C.UTF-8", **ecs.stack.env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def change_the_key(ecs: Outside) -> str:
    """Do what ``make new-encryption-key`` does."""
    return await asyncio.to_thread(
        encryption_keys.introduce, ecs.stack.layout, public=ecs.stack.public, say=log.info
    )


async def drop(ecs: Outside, key_id: str) -> None:
    """Do what ``make drop-encryption-key`` does."""
    await asyncio.to_thread(
        encryption_keys.drop, ecs.stack.layout, key_id, public=ecs.stack.public, say=log.info
    )


class TestRotation:
    async def test_under_load_fails_no_request_and_leaves_nothing_on_the_old_key(
        self, ecs: Outside
    ) -> None:
        applicants = Applicants(world=ecs, people=[await ecs.someone() for _ in range(PEOPLE)])
        ids = [await applicants.submitted(an_application(), by=one) for one in range(BEFORE)]
        old = ecs.stack.place.keyring().active
        load = Load(applicants, ids)
        running = asyncio.create_task(load.run())
        try:
            new = await change_the_key(ecs)
            code, said = await command(ecs, "scripts.rotate_encryption")
        finally:
            load.enough.set()
            await running
        log.info("rotation under load: %s, busy %s, %s", dict(load.outcomes), load.busy, said)

        assert code == 0, said
        assert new != old
        assert set(load.outcomes) == {"GET 200", "POST 202"}
        assert load.outcomes.total() > REQUESTS_MIN
        assert await left(ecs, new) == 0
        assert new in (ecs.stack.public / "env").read_text()
        # Nothing was lost on the way: every one of them is decided, under whichever key.
        await applicants.all_decided(ids, seconds=DECIDED_SECONDS_MAX)
        await applicants.assert_decided_once(ids)

        await drop(ecs, old)
        assert list(ecs.stack.place.keyring().keys) == [new]
        await applicants.decided(await applicants.submitted(an_application()))


async def left(ecs: Outside, key_id: str) -> Any:
    return await ecs.value(ON_OTHER_KEYS, key_id)
