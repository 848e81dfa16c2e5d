"""People, clients and waits for the tests that stand outside of the whole system."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

import asyncpg
import httpx

from ecs.domain.people import USER_SCOPES
from ecs.domain.principal import PrincipalKind
from ecs.integrations.token_signer import TokenSigner
from scripts.stack.stack import Stack
from tests.api.routes_support import assert_described
from tests.invariants import assert_invariants

PATIENCE_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.02
API_PROGRAMS: Final = ("api-1", "api-2")
WORKER_PROGRAMS: Final = ("rq-accounts-1", "rq-accounts-2")
WRONG_ON_OUR_SIDE: Final = 500
FINISHED: Final = ("succeeded", "failed")
NGINX_ALONE: Final = (502, 504)

T = TypeVar("T")
# Days before now, signed cents, category.
Row = tuple[float, int, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who can log in, and the token that says so."""

    id: UUID
    token: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The running system, as a caller, an operator and the database's owner see it."""

    stack: Stack
    http: httpx.AsyncClient
    api: tuple[httpx.AsyncClient, ...]
    client_headers: dict[str, str] = field(repr=False)
    signer: TokenSigner

    async def someone(self) -> Person:
        """A new person without money. Stored directly: no password is hashed."""
        user_id = uuid4()
        await self.execute(
            "INSERT INTO users (id, email, full_name, password_hash) VALUES ($1, $2, $3, $4)",
            *(user_id, f"{user_id}@example.com", "Maria Souza", "nobody can log in with this"),
        )
        return Person(id=user_id, token=self._token(user_id))

    async def an_applicant(self, rows: Iterable[Row] | None = None) -> Person:
        """A person with the given month behind them, or with one that earns an offer."""
        person = await self.someone()
        answer = await self.ingest(person.id, good_month() if rows is None else rows)
        assert answer.status_code == 200, answer.text
        assert answer.json()["rejected"] == 0, answer.text
        return person

    async def an_offer(self) -> tuple[Person, str]:
        """A person and the id of an open offer."""
        person = await self.an_applicant()
        answer = await self.apply(person)
        assert answer.status_code == 201, answer.text
        assert answer.json()["status"] == "offered", answer.text
        return person, answer.json()["id"]

    async def offers(self, count: int) -> list[tuple[Person, str]]:
        """So many people, each with an open offer."""
        return await at_most(8, [self.an_offer() for _ in range(count)])

    async def ingest(self, user_id: UUID, rows: Iterable[Row]) -> httpx.Response:
        items = transactions(user_id, rows)
        return await self.http.post(
            "/api/v1/transactions/ingest",
            json={"transactions": items},
            headers=self.client_headers,
        )

    async def apply(
        self, person: Person, *, by: httpx.AsyncClient | None = None, request_id: str = ""
    ) -> httpx.Response:
        headers = person.headers | _identified(request_id)
        return await (by or self.http).post("/api/v1/credit/apply", headers=headers)

    async def accept(
        self,
        person: Person,
        offer_id: str,
        *,
        by: httpx.AsyncClient | None = None,
        request_id: str = "",
    ) -> httpx.Response:
        return await (by or self.http).post(
            f"/api/v1/credit/offers/{offer_id}/accept",
            headers=person.headers | _identified(request_id),
        )

    async def get(self, person: Person, path: str) -> httpx.Response:
        return await self.http.get(path, headers=person.headers)

    async def accepted_job(self, person: Person, offer_id: str) -> str:
        """Accept, and return the id of the job that opens the account."""
        answer = await self.accept(person, offer_id)
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["job_id"]
        return job_id

    async def finished_job(
        self, person: Person, job_id: str, *, seconds: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """Wait until a job has ended, by asking as its owner would."""
        found: dict[str, Any] = {}

        async def has_ended() -> bool:
            answer = await self.get(person, f"/api/v1/jobs/{job_id}")
            assert answer.status_code in {200, 503}, answer.text
            found.update(answer.json())
            return answer.status_code == 200 and found["status"] in FINISHED

        await until(has_ended, seconds=seconds, what=f"the end of job {job_id}")
        return found

    async def assert_one_account(
        self, person: Person, offer_id: str, *, notifications: tuple[str, ...] = ("account_opened",)
    ) -> None:
        """One account, of this offer, and told once."""
        accounts = await self.rows(
            "SELECT offer_id FROM credit_accounts WHERE user_id = $1", person.id
        )
        assert [str(row["offer_id"]) for row in accounts] == [offer_id]
        told = await self.rows("SELECT kind FROM notifications WHERE user_id = $1", person.id)
        assert [row["kind"] for row in told] == list(notifications)

    async def assert_opened(
        self, person: Person, offer_id: str, job_id: str, *, seconds: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """The job succeeds in time, with one account and one notification."""
        job = await self.finished_job(person, job_id, seconds=seconds)
        assert job["status"] == "succeeded", job
        await self.assert_one_account(person, offer_id)
        return job

    async def rows(self, statement: str, *values: Any) -> list[Any]:
        """Ask as the database's owner."""
        async with self.owner() as connection:
            return list(await connection.fetch(statement, *values))

    async def value(self, statement: str, *values: Any) -> Any:
        """Ask for one value as the database's owner."""
        async with self.owner() as connection:
            return await connection.fetchval(statement, *values)

    async def execute(self, statement: str, *values: Any) -> None:
        """Write as the database's owner."""
        async with self.owner() as connection:
            await connection.execute(statement, *values)

    @asynccontextmanager
    async def owner(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(self.stack.env["DB_OWNER_URL"])
        try:
            yield connection
        finally:
            await connection.close()

    def logged(self, *programs: str, **wanted: str) -> list[dict[str, Any]]:
        """Return the log lines of some programs that carry all these fields."""
        marks = [json.dumps(value) for value in wanted.values()]
        return [
            line
            for program in programs
            for text in self._log(program).read_text(errors="replace").splitlines()
            if all(mark in text for mark in marks)
            and wanted.items() <= (line := json.loads(text)).items()
        ]

    def children(self, program: str) -> list[int]:
        """Return the processes that a program's main process has forked."""
        parent = str(self.stack.pid(program))
        return [int(entry.name) for entry in processes() if parent_of(entry) == parent]

    def _log(self, program: str) -> Path:
        return self.stack.place.logs / f"{program}.log"

    def _token(self, user_id: UUID) -> str:
        return self.signer.sign(
            subject=user_id,
            kind=PrincipalKind.USER,
            scopes=USER_SCOPES,
            token_version=0,
            issued_at=datetime.now(UTC),
            expires_seconds=900,
            token_id=uuid4(),
        )


@asynccontextmanager
async def outside(stack: Stack) -> AsyncIterator[Outside]:
    """Stand outside of a running stack; what must always hold is checked when leaving."""
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    ports = [stack.layout.ports[name] for name in API_PROGRAMS]
    urls = [stack.url, *(f"http://127.0.0.1:{port}" for port in ports)]
    async with AsyncExitStack() as clients:
        http, *api = [
            await clients.enter_async_context(
                httpx.AsyncClient(
                    base_url=url,
                    timeout=30,
                    limits=limits,
                    trust_env=False,
                    event_hooks={"response": [_assert_described]},
                )
            )
            for url in urls
        ]
        yield Outside(
            stack=stack,
            http=http,
            api=tuple(api),
            client_headers=await _client_headers(stack, http),
            signer=_signer(stack.env),
        )
    await asyncio.to_thread(stack.wait_until_ready, seconds=PATIENCE_SECONDS)
    for program in stack.parts:  # The API may be ready while a worker, killed, is not back.
        await asyncio.to_thread(stack.wait_for, program)
    await assert_invariants(stack.env["DB_OWNER_URL"])


def good_month() -> list[Row]:
    """60 transactions: inflow 6000, outflow 4800, debt payments 600, essentials 3300."""
    salary: list[Row] = [(10, 600_000, "income")]
    bills: list[Row] = [(9, -150_000, "housing"), (8, -60_000, "debt_payment")]
    groceries: list[Row] = [(day, -6_666, "groceries") for day in range(1, 27)]
    last: list[Row] = [(27, -6_684, "groceries")]
    dining: list[Row] = [(day - 0.5, -3_000, "dining") for day in range(1, 31)]
    return [*salary, *bills, *groceries, *last, *dining]


def bad_month() -> list[Row]:
    """A month that is judged and denied: fees, gambling and debts above a small income."""
    gambling: list[Row] = [(day, -9_000, "gambling") for day in range(1, 15)]
    fees: list[Row] = [(day, -3_000, "fee") for day in range(1, 15)]
    debts: list[Row] = [(day, -20_000, "debt_payment") for day in range(1, 10)]
    return [(20, 100_000, "income"), *gambling, *fees, *debts]


def transactions(user_id: UUID, rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows as a bank's feed sends them."""
    now = datetime.now(UTC)
    return [
        {
            "transaction_id": str(uuid4()),
            "user_id": str(user_id),
            "occurred_at": (now - timedelta(days=days)).isoformat(),
            "amount": f"{'-' * (cents < 0)}{abs(cents) // 100}.{abs(cents) % 100:02d}",
            "currency": "BRL",
            **({"category": category} if category else {}),
        }
        for days, cents, category in rows
    ]


@asynccontextmanager
async def stopped(ecs: Outside, *programs: str) -> AsyncIterator[None]:
    """Keep programs stopped, and leave when they run again."""
    try:
        for program in programs:
            await asyncio.to_thread(ecs.stack.stop_program, program)
        yield
    finally:
        for program in programs:
            await asyncio.to_thread(ecs.stack.start_program, program)


async def until(
    condition: Callable[[], Awaitable[object]], *, seconds: float = PATIENCE_SECONDS, what: str
) -> float:
    """Wait for ``condition``; return how many seconds it took."""
    started = time.monotonic()
    while not await condition():
        waited = time.monotonic() - started
        assert waited < seconds, f"{what} did not come within {seconds} s"
        await asyncio.sleep(POLL_SECONDS)
    return time.monotonic() - started


async def at_most(count: int, work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Do everything, so much at a time."""
    gate = asyncio.Semaphore(count)

    async def through(one: Coroutine[Any, Any, T]) -> T:
        async with gate:
            return await one

    return list(await asyncio.gather(*(through(one) for one in work)))


def processes() -> list[Path]:
    return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def parent_of(process: Path) -> str:
    """Return the parent's number, or nothing for a process that is gone or a zombie."""
    try:
        state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return ""
    return "" if state in "ZX" else parent


def kill_all(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        os.kill(pid, number)


@asynccontextmanager
async def slow_first(
    ecs: Outside, writing: str, *, condition: str, seconds: float
) -> AsyncIterator[Callable[[], Any]]:
    """Let the first such write take long, later ones not; yield the question if it has begun."""
    name = f"slow_{uuid4().hex}"
    # A sequence counts outside of transactions: also the writes that were rolled back.
    await ecs.execute(f"""
        CREATE SEQUENCE {name};
        CREATE FUNCTION {name}_first() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            IF nextval('public.{name}') = 1 THEN PERFORM pg_sleep({seconds}); END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER {name} BEFORE {writing} FOR EACH ROW
            WHEN ({condition}) EXECUTE FUNCTION {name}_first();""")
    try:
        yield lambda: ecs.value(f"SELECT is_called FROM {name}")
    finally:
        await ecs.execute(f"DROP FUNCTION {name}_first() CASCADE; DROP SEQUENCE {name};")


async def _assert_described(answer: httpx.Response) -> None:
    """Hold every answer of an instance against the API's description."""
    if answer.status_code not in NGINX_ALONE:
        await assert_described(answer)


def _identified(request_id: str) -> dict[str, str]:
    return {"X-Request-ID": request_id} if request_id else {}


async def _client_headers(stack: Stack, http: httpx.AsyncClient) -> dict[str, str]:
    client = json.loads((stack.public / "demo.json").read_text())["clients"][0]
    answer = await http.post(
        "/token",
        data={"grant_type": "client_credentials"},
        auth=(client["client_id"], client["client_secret"]),
    )
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def _signer(env: dict[str, str]) -> TokenSigner:
    return TokenSigner(
        keyring={"1": env["JWT_SECRET"]},
        active_kid="1",
        algorithm=env["JWT_ALGORITHM"],
        issuer=env["JWT_ISSUER"],
        audience=env["JWT_AUDIENCE"],
    )
