import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ecs.integrations.exceptions import HasherBusy
from ecs.integrations.password_hasher import PasswordHasher

PASSWORD = "correct horse battery"


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    made = PasswordHasher(time_cost=1, memory_cost_kib=64)
    yield made
    made.close()


async def test_knows_the_password_and_no_other(hasher: PasswordHasher) -> None:
    hashed = await hasher.hash(PASSWORD)

    assert await hasher.verify(PASSWORD, hashed)
    assert not await hasher.verify(PASSWORD + "x", hashed)


async def test_uses_the_parameters_we_promise() -> None:
    real = PasswordHasher()

    hashed = await real.hash(PASSWORD)

    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert not real.needs_update(hashed)
    real.close()


async def test_wants_an_old_hash_made_anew(hasher: PasswordHasher) -> None:
    old = await hasher.hash(PASSWORD)
    today = PasswordHasher()

    assert today.needs_update(old)
    today.close()


async def test_two_spellings_of_one_text_are_one_password(hasher: PasswordHasher) -> None:
    assert await hasher.verify("cafe\u0301 au lait", await hasher.hash("caf\u00e9 au lait"))


@pytest.mark.parametrize("password", ["x" * 1025, "x" * 100_000, "\ud800" * 12, "", "a\x00b"])
async def test_an_impossible_password_is_a_wrong_one(hasher: PasswordHasher, password: str) -> None:
    assert not await hasher.verify(password, await hasher.hash(PASSWORD))


@pytest.mark.parametrize("hashed", ["", "x", "$argon2id$", "$2b$12$abcdefghijklmnopqrstuu"])
async def test_a_damaged_hash_fits_nothing(hasher: PasswordHasher, hashed: str) -> None:
    assert not await hasher.verify(PASSWORD, hashed)


async def test_unknown_accounts_cost_a_verification(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []
    monkeypatch.setattr(hasher, "_fits", lambda _, hashed: verified.append(hashed))

    await hasher.verify_nothing(PASSWORD)

    assert verified == [hasher._dummy_hash]


async def test_two_at_a_time_and_then_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hasher = PasswordHasher(wait_seconds_max=0.05, time_cost=1, memory_cost_kib=64)
    go = threading.Event()
    monkeypatch.setattr(hasher, "_fits", lambda *_: go.wait(30))

    first: list[asyncio.Task[Any]] = [
        asyncio.create_task(hasher.verify(PASSWORD, "")) for _ in range(2)
    ]
    await asyncio.gather(*(hasher.verify(PASSWORD, "") for _ in range(3)), return_exceptions=True)
    with pytest.raises(HasherBusy):
        await hasher.verify(PASSWORD, "")
    go.set()

    assert await asyncio.gather(*first) == [True, True]
    assert await hasher.verify(PASSWORD, "")
    hasher.close()
