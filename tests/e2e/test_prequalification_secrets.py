"""No PAN leaves the request and the credit service: not by a dump, a log, a queue or an error."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import string
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
import redis
from pika.adapters.blocking_connection import BlockingChannel

from ecs.domain.streams import CREDIT_REPORTS, DECISIONS
from ecs.integrations.exceptions import DecryptionFailed
from ecs.integrations.pan_cipher import AesGcmPanCipher
from scripts.stack import Stack, system
from tests.amqp import amqp_channel
from tests.e2e.emotions_support import rabbitmq_of
from tests.e2e.prequalification_support import (
    APPLICATIONS,
    FIRST_RETRY_QUEUE,
    Applicants,
    an_application,
    lie_in,
    own_credit_report,
    without_credit_report,
)
from tests.e2e.support import Outside, until

COUNT: Final = 100
WITH_CIPHERTEXTS: Final = frozenset({"dump", "queue", "retry queue"})
# What a body may come to that holds a PAN and is refused; {} is the PAN.
REFUSED: Final = (
    '{{"pan_number": "{}X"}}',
    '{{"pan_number": "{}", "{}": 1}}',
    '{{"pan_number": ["{}"]}}',
    '{{"pan_number": "{}", "loan_type": "{}"}}',
    '"{}"',
    "{}",
)


@pytest.fixture
async def applicants(ecs: Outside) -> Applicants:
    """Two people without anything."""
    return Applicants(world=ecs, people=[await ecs.someone() for _ in range(2)])


def random_pans() -> list[str]:
    """PANs that occur nowhere by chance."""
    letters, digits = string.ascii_uppercase, string.digits
    return [
        "".join(
            [
                *random.choices(letters, k=3),
                "P",
                random.choice(letters),
                *random.choices(digits, k=4),
                random.choice(letters),
            ]
        )
        for _ in range(COUNT)
    ]


async def test_a_hundred_pans_are_found_nowhere_by_whoever_has_no_key(
    applicants: Applicants, ecs: Outside
) -> None:
    pans = random_pans()
    async with without_credit_report(ecs):
        ids = [
            await applicants.submitted(an_application(pan), by=number)
            for number, pan in enumerate(pans)
        ]
        places = {
            "queue": await _bodies_in(ecs, CREDIT_REPORTS.queue),
            "dump": await asyncio.to_thread(_dump, ecs.stack.env),
            "redis": await asyncio.to_thread(_redis_contents, ecs.stack.env["REDIS_URL"]),
            "refusals": await _refusals(applicants, pans),
        }
        async with own_credit_report(ecs, BUREAU_SIMULATION="refuses"):
            places["retry queue"] = await _bodies_in(ecs, FIRST_RETRY_QUEUE)
    await applicants.all_decided(ids, seconds=30)
    places["logs"] = "".join(
        file.read_text(errors="replace") for file in ecs.stack.place.logs.iterdir()
    )
    places["answers"] = json.dumps(
        [await applicants.status(one, by=number) for number, one in enumerate(ids)]
    )
    for place, content in places.items():
        assert content, place
        for pan in pans:
            assert pan not in content.upper(), place
            # Ciphertexts in base64 may hold six characters by chance.
            assert place in WITH_CIPHERTEXTS or pan[:6] not in content.upper(), place
    _assert_no_unkeyed_traces(places["dump"], pans)


async def test_a_swapped_ciphertext_never_decrypts(applicants: Applicants, ecs: Outside) -> None:
    ids = [await applicants.submitted(an_application()) for _ in range(20)]
    rows = await ecs.rows(
        "SELECT id, pan_ciphertext FROM prequalification_applications"
        " WHERE id = ANY($1::uuid[]) ORDER BY id",
        ids,
    )
    cipher = AesGcmPanCipher(**_keys(ecs.stack.env))
    for mine, other in zip(rows, [*rows[1:], rows[0]], strict=True):
        cipher.decrypt(mine["pan_ciphertext"], application_id=mine["id"])
        with pytest.raises(DecryptionFailed):
            cipher.decrypt(other["pan_ciphertext"], application_id=mine["id"])
    await applicants.all_decided(ids, seconds=30)


async def _refusals(applicants: Applicants, pans: list[str]) -> str:
    """Return every refusal of bodies that hold PANs, and of a second application."""
    texts = [form.format(pan, pan) for pan in pans[:10] for form in REFUSED]
    bodies = [text.encode() for text in texts]
    bodies += [json.dumps(an_application(pan)).encode() for pan in pans[:10]]
    answers = [await _post(applicants, body) for body in bodies]
    assert {answer.status_code for answer in answers} <= {400, 409, 422}
    return "".join(answer.text + str(answer.headers) for answer in answers)


async def _post(applicants: Applicants, body: bytes) -> httpx.Response:
    headers = applicants.people[0].headers | {"Content-Type": "application/json"}
    return await applicants.world.http.post(APPLICATIONS, content=body, headers=headers)


def _dump(env: dict[str, str]) -> str:
    """Return the whole database as text, as whoever steals a dump has it."""
    command = [system.postgres_program("pg_dump"), "--inserts", env["DB_OWNER_URL"]]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


async def _bodies_in(ecs: Outside, queue: str) -> str:
    """
    Return what lies in all queues of both services once all submissions lie in this one.

    It is left there.
    """
    await until(lambda: lie_in(ecs, queue, COUNT), what=f"{COUNT} messages in {queue}")
    bodies = await asyncio.to_thread(_queue_bodies, ecs.stack)
    ciphertexts = [body for body in bodies[queue] if '"pan_encrypted":' in body]
    assert len(ciphertexts) == len(bodies[queue]) == COUNT
    return "".join(body for several in bodies.values() for body in several)


def _queue_bodies(stack: Stack) -> dict[str, list[str]]:
    with amqp_channel(rabbitmq_of(stack)) as channel:
        queues = [queue for stream in (CREDIT_REPORTS, DECISIONS) for queue in stream.queues]
        return {queue: list(_bodies(channel, queue)) for queue in queues}


def _bodies(channel: BlockingChannel, queue: str) -> Iterator[str]:
    while True:
        method, properties, body = channel.basic_get(queue)
        if method is None or body is None:
            return
        yield f"{body!r} {properties}"


def _redis_contents(url: str) -> str:
    with redis.Redis.from_url(url) as client:
        return "".join(f"{key!r}{client.dump(key)!r}" for key in client.scan_iter()) or "empty"


def _assert_no_unkeyed_traces(dump: str, pans: list[str]) -> None:
    for pan in pans:
        for trace in _unkeyed(pan.encode()):
            assert trace not in dump


def _unkeyed(pan: bytes) -> Iterator[str]:
    """Yield what anybody can compute of a PAN, as a dump would show it."""
    for algorithm in ("md5", "sha1", "sha256", "sha512", "blake2b"):
        yield hashlib.new(algorithm, pan).hexdigest()
        yield hmac.new(b"", pan, algorithm).hexdigest()
    yield pan.hex()


def _keys(env: dict[str, str]) -> dict[str, Any]:
    written = json.loads(env["ENCRYPTION_KEYS"])
    keyring = {key_id: base64.b64decode(key) for key_id, key in written.items()}
    return {"keyring": keyring, "active_key_id": env["ENCRYPTION_ACTIVE_KEY_ID"]}
