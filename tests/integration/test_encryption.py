"""Rotation of the key for PANs: everything moves, nothing is lost, and every reading is noted."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from ecs.bootstrap import Application, application
from ecs.config import EncryptionSettings
from ecs.domain.money import Money
from ecs.domain.prequalification.application import ApplicationForm, LoanType
from ecs.domain.prequalification.pan import Pan
from ecs.integrations.pan_cipher import AesGcmPanCipher
from ecs.repositories.encrypted_pans_repository import EncryptedPan, Store
from ecs.services import encryption_service
from ecs.services.encryption_service import PASSES_MAX, UNREADABLE, EncryptionService, Rotation
from ecs.services.exceptions import DuplicateApplication
from scripts import rotate_encryption
from tests.builders import ENCRYPTION_KEY, Database, settings_for

NEW_KEY: Final = bytes(range(100, 132))
RING: Final = {"1": ENCRYPTION_KEY, "2": NEW_KEY}
READER: Final = AesGcmPanCipher(RING, "2")
EVENT: Final = "prequalification.application-submitted"
NOTHING: Final = Rotation(rotated=0, unreadable=(), unreadable_ciphertexts=0, left={})
Seen = dict[UUID, str]


def with_keys(database: Database, redis_url: str, ring: dict[str, bytes], active: str) -> Any:
    """Settings of a process with these keys."""
    written = {key_id: b64encode(key).decode() for key_id, key in ring.items()}
    encryption = EncryptionSettings(keys=SecretStr(json.dumps(written)), active_key_id=active)
    return settings_for(database, redis_url, encryption=encryption)


def pan_number(number: int) -> str:
    return f"ABCP{chr(65 + number // 10_000)}{number % 10_000:04}F"


def form(number: int) -> ApplicationForm:
    return ApplicationForm(
        pan_number=pan_number(number),
        applicant_name="Asha Rao",
        monthly_income=Money(5_000_000),
        loan_amount=Money(20_000_000),
        loan_type=LoanType.HOME,
    )


async def submit(ecs: Application, user_id: UUID, number: int) -> UUID:
    submission, _ = await ecs.prequalification.submit(
        form(number), user_id=user_id, request_id=None
    )
    return submission.application_id


async def stored(owner: Any, cipher: AesGcmPanCipher = READER) -> tuple[Seen, Seen]:
    """The PANs of applications and of events in clear, by their application."""
    applications = await owner.fetch("SELECT id, pan_ciphertext FROM prequalification_applications")
    events = await owner.fetch("SELECT payload FROM outbox_events WHERE name = $1", EVENT)
    written = [json.loads(row["payload"]) for row in events]
    return (
        {
            row["id"]: cipher.decrypt(row["pan_ciphertext"], application_id=row["id"]).text
            for row in applications
        },
        {
            UUID(item["application_id"]): cipher.decrypt(
                b64decode(item["pan_encrypted"]), application_id=UUID(item["application_id"])
            ).text
            for item in written
        },
    )


async def rotations(owner: Any) -> Counter[UUID]:
    """How often the audit says that an application's PAN was rotated."""
    rows = await owner.fetch("SELECT application_id FROM audit_log WHERE action = 'ROTATE'")
    return Counter(row["application_id"] for row in rows)


async def rotate(ecs: Application, on_batch: Callable[[int], None] = lambda _: None) -> Rotation:
    return await ecs.encryption.rotate(on_batch=on_batch, pause_seconds=0)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few at a time that a handful of applications takes several batches."""
    monkeypatch.setattr(encryption_service, "BATCH", 7)


@pytest.fixture
async def rotator(database: Database, redis_url: str) -> AsyncIterator[Application]:
    """A process that has both keys and encrypts with the new one."""
    async with application(with_keys(database, redis_url, RING, "2"), name="rotator") as ecs:
        yield ecs


class TestRotate:
    async def test_moves_everything_to_the_active_key_and_changes_nothing_else(
        self, ecs: Application, rotator: Application, owner: Any, user_id: UUID
    ) -> None:
        ids = [await submit(ecs, user_id, number) for number in range(20)]
        await owner.execute("UPDATE outbox_events SET published_at = now() WHERE id = ANY($1)", ids)
        before = await stored(owner)
        untouched = "SELECT id, version, status, updated_at, pan_masked, pan_blind_index FROM"
        rows = await owner.fetch(f"{untouched} prequalification_applications ORDER BY id")
        looked_at: list[int] = []
        assert await rotator.encryption.left() == {"1": 40}

        rotation = await rotate(rotator, looked_at.append)

        assert rotation == replace(NOTHING, rotated=40)
        assert sum(looked_at) == 40
        # The old key is not needed any more.
        assert await stored(owner, AesGcmPanCipher({"2": NEW_KEY}, "2")) == before
        assert await owner.fetch(f"{untouched} prequalification_applications ORDER BY id") == rows
        assert await rotations(owner) == dict.fromkeys(ids, 2)

    async def test_finds_nothing_to_do_the_second_time(
        self, ecs: Application, rotator: Application, owner: Any, user_id: UUID
    ) -> None:
        await submit(ecs, user_id, 1)
        await rotate(rotator)
        audit = await rotations(owner)
        assert await rotate(rotator) == NOTHING
        assert await rotations(owner) == audit

    async def test_goes_on_beside_submissions_and_readings(
        self, ecs: Application, rotator: Application, owner: Any, user_id: UUID
    ) -> None:
        ids = [await submit(ecs, user_id, number) for number in range(60)]
        is_over = asyncio.Event()

        async def go_on_submitting(process: Application, first: int) -> list[UUID]:
            made: list[UUID] = []
            while not is_over.is_set():
                made.append(await submit(process, user_id, first + len(made)))
                # What stands there already is refused, and waits for nobody.
                with pytest.raises(DuplicateApplication):
                    await submit(process, user_id, len(made) % 60)
                await process.prequalification.get(ids[len(made) % 60], user_id=user_id)
            return made

        async def turn() -> Rotation:
            both = await asyncio.gather(rotate(rotator), rotate(rotator))
            is_over.set()
            return both[0]

        new, old, _ = await asyncio.gather(
            go_on_submitting(rotator, 1000), go_on_submitting(ecs, 2000), turn()
        )
        # The process that still wrote with the old key has stopped by now.
        assert (await rotate(rotator)).left == {}
        applications, events = await stored(owner, AesGcmPanCipher({"2": NEW_KEY}, "2"))
        assert applications == events
        assert set(applications) == {*ids, *new, *old}
        assert set(applications.values()) == {
            *(pan_number(number) for number in range(60)),
            *(pan_number(1000 + number) for number in range(len(new))),
            *(pan_number(2000 + number) for number in range(len(old))),
        }

    async def test_that_was_killed_between_audit_and_writing_is_done_by_the_next(
        self, ecs: Application, rotator: Application, owner: Any, user_id: UUID
    ) -> None:
        ids = [await submit(ecs, user_id, number) for number in range(10)]
        before = await stored(owner)
        with pytest.raises(Killed):
            await rotate(replace(rotator, encryption=_killed(rotator.encryption)))
        # Everything that was decrypted is in the audit, though nothing was written.
        assert await rotations(owner) == dict.fromkeys(sorted(ids)[:7], 1)
        assert await rotator.encryption.left() == {"1": 20}

        assert (await rotate(rotator)).rotated == 20
        assert await stored(owner) == before

    async def test_names_what_cannot_be_read_and_moves_the_rest(
        self, ecs: Application, rotator: Application, owner: Any, user_id: UUID
    ) -> None:
        ids = [await submit(ecs, user_id, number) for number in range(12)]
        tampered, moved, unknown, garbage, event = ids[1], ids[4], ids[6], ids[8], ids[10]
        change = "UPDATE prequalification_applications SET pan_ciphertext = {} WHERE id = $1"
        await owner.execute(change.format("set_byte(pan_ciphertext, 20, 7)"), tampered)
        await owner.execute(
            change.format("(SELECT pan_ciphertext FROM prequalification_applications WHERE id=$2)"),
            moved,
            ids[0],
        )
        other = AesGcmPanCipher({"9": NEW_KEY}, "9").encrypt(
            Pan("ABCPE1234F"), application_id=moved
        )
        await owner.execute(change.format("$2"), unknown, other)
        await owner.execute(change.format(r"'\x01ff1b5b324a'"), garbage)
        await owner.execute(
            "UPDATE outbox_events SET payload = jsonb_set(payload, '{pan_encrypted}', '\"AQEx=\"')"
            " WHERE payload->>'application_id' = $1",
            str(event),
        )

        rotation = await rotate(rotator)

        assert rotation.unreadable == tuple(sorted({tampered, moved, unknown, garbage, event}))
        assert rotation.unreadable_ciphertexts == 5
        assert rotation.rotated == 24 - 5
        assert rotation.left == {"1": 2, "9": 1, UNREADABLE: 2}
        assert (await rotations(owner))[tampered] == 2  # Once each: the application, its event.

    async def test_ends_though_a_process_goes_on_writing_with_the_old_key(
        self, ecs: Application, rotator: Application, user_id: UUID
    ) -> None:
        written: list[UUID] = []

        async def write(number: int) -> None:
            written.append(await submit(ecs, user_id, number))

        await write(0)
        writing: list[asyncio.Task[None]] = []
        rotation = await rotate(
            rotator, lambda _: writing.append(asyncio.create_task(write(len(writing) + 1)))
        )
        await asyncio.gather(*writing)
        assert rotation.rotated > 0
        assert len(writing) <= 4 * PASSES_MAX
        assert (await rotator.encryption.left()).get("1", 0) >= rotation.left.get("1", 0)
        assert (await rotate(rotator)).left == {}


class TestReplace:
    async def test_leaves_what_somebody_else_replaced_meanwhile(
        self, ecs: Application, rotator: Application, owner: Any, user_id: UUID
    ) -> None:
        application_id = await submit(ecs, user_id, 1)
        for store in Store:
            pan = await self.first(rotator, store)
            new = [READER.encrypt(Pan(pan_number(1)), application_id=pan.application_id)]
            for expected in (1, 0):
                async with rotator.encryption.unit_of_work() as uow:
                    assert await uow.encrypted_pans.replace(store, old=[pan], new=new) == expected
                    await uow.commit()
        assert await stored(owner) == ({application_id: pan_number(1)},) * 2

    async def test_leaves_what_somebody_works_on_and_waits_for_nobody(
        self, ecs: Application, rotator: Application, owner: Any, user_id: UUID
    ) -> None:
        busy, free = [await submit(ecs, user_id, number) for number in range(2)]
        async with owner.transaction():
            await owner.execute(
                "SELECT FROM prequalification_applications WHERE id = $1 FOR UPDATE", busy
            )
            async with asyncio.timeout(5):
                rotation = await rotate(rotator)
            assert rotation.left == {"1": 1}
        assert (await rotate(rotator)).rotated == 1
        assert set((await stored(owner))[0]) == {busy, free}

    async def first(self, ecs: Application, store: Store) -> EncryptedPan:
        async with ecs.encryption.unit_of_work() as uow:
            (pan,) = await uow.encrypted_pans.find(
                store, not_of_key="2", after=UUID(int=0), limit=9
            )
        return pan


class TestScript:
    async def test_says_what_it_did_and_what_is_left(
        self,
        ecs: Application,
        database: Database,
        redis_url: str,
        user_id: UUID,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        await submit(ecs, user_id, 1)
        settings = with_keys(database, redis_url, RING, "2")
        in_use = await rotate_encryption.why_in_use(settings, "1")
        assert in_use is not None
        assert "in use: 2 ciphertexts" in in_use
        rotate_encryption.show(await rotate_encryption.rotate(settings), key_id="2")
        said = capsys.readouterr()
        assert "Re-encrypted with key 2: 2 ciphertexts." in said.out
        assert "Nothing is left on another key." in said.out
        assert await rotate_encryption.why_in_use(settings, "1") is None
        assert await rotate_encryption.why_in_use(settings, "2") == "Key 2 is the active one."
        assert pan_number(1) not in said.out + said.err

    def test_names_applications_and_keys(self, capsys: pytest.CaptureFixture[str]) -> None:
        lost = uuid4()
        rotation = Rotation(rotated=3, unreadable=(lost,), unreadable_ciphertexts=2, left={"1": 3})
        rotate_encryption.show(rotation, key_id="2")
        said = capsys.readouterr().out
        assert f"application {lost}" in said
        assert "Left on key 1: 3" in said
        assert rotate_encryption.STILL_WRITING in said

    async def test_blames_nobody_when_a_key_is_missing(
        self,
        ecs: Application,
        database: Database,
        redis_url: str,
        user_id: UUID,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        lost = await submit(ecs, user_id, 1)
        settings = with_keys(database, redis_url, {"2": NEW_KEY}, "2")
        rotation = await rotate_encryption.rotate(settings)
        rotate_encryption.show(rotation, key_id="2")
        said = capsys.readouterr().out
        # The application and its event.
        assert (rotation.left, rotation.unreadable_ciphertexts) == ({"1": 2}, 2)
        assert said.count(f"application {lost}") == 1
        assert rotate_encryption.STILL_WRITING not in said


class Killed(BaseException):
    """Stands for ``kill -9``: nobody catches it."""


class _KilledCipher:
    """Dies when it is first used."""

    active_key_id = "2"

    def encrypt(self, pan: Pan, *, application_id: UUID) -> bytes:
        raise Killed

    def decrypt(self, ciphertext: bytes, *, application_id: UUID) -> Pan:
        raise Killed


def _killed(service: EncryptionService) -> EncryptionService:
    return replace(service, cipher=_KilledCipher())
