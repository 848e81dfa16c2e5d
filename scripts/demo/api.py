"""The API as any program outside speaks to it: HTTP and nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import httpx

TIMEOUT_SECONDS: Final = 30.0
BUSY: Final = frozenset({429, 503})
BUSY_TRIES_MAX: Final = 8
PAUSE_SECONDS_MAX: Final = 5.0
GONE: Final = frozenset({502, 504})


class DemoError(Exception):
    """The demo cannot go on; the words say what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the API said."""

    status: int
    body: Any

    @property
    def code(self) -> str:
        """The code of a refusal."""
        body = self.body if isinstance(self.body, dict) else {}
        return str(body.get("code") or body.get("error") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where a stack is, and the client program that feeds it."""

    url: str
    client_id: str
    client_secret: str = field(repr=False)

    @classmethod
    def read(cls, folder: Path, *, url: str = "") -> "Access":
        """
        Return the access that a running stack has published; its address, unless ``url`` says it.

        Raises:
            DemoError: nothing is running, or nobody has been seeded.
        """
        url = url or _published(folder)
        try:
            client = json.loads((folder / "demo.json").read_text())["clients"][0]
            return cls(
                url=url, client_id=client["client_id"], client_secret=client["client_secret"]
            )
        except (OSError, ValueError, LookupError, TypeError):
            raise DemoError(
                f"{folder / 'demo.json'} holds no client: write it anew (make seed-dev)."
            ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Asks the API as somebody; ``token`` is empty for nobody in particular."""

    http: httpx.AsyncClient
    token: str = field(default="", repr=False)

    async def get(self, path: str, *, expect: int = 200) -> Answer:
        """Ask for something."""
        return await self.ask("GET", path, expect={expect})

    async def post(
        self, path: str, content: Any = None, *, expect: tuple[int, ...] = (200, 201)
    ) -> Answer:
        """Send JSON, or nothing."""
        return await self.ask("POST", path, expect={*expect}, json=content)

    async def as_person(self, *, email: str, password: str) -> "Api":
        """Return the API as seen by somebody who logs in."""
        form = {"grant_type": "password", "username": email, "password": password}
        return self._with(await self.ask("POST", "/token", expect={200}, data=form))

    async def as_client(self, access: Access) -> "Api":
        """
        Return the API as seen by the client program.

        Raises:
            DemoError: the client does not work any more, or may not do what the demo needs.
        """
        answer = await self.ask(
            "POST",
            "/token",
            expect={200, 400, 401},
            data={"grant_type": "client_credentials"},
            auth=(access.client_id, access.client_secret),
        )
        if answer.status != httpx.codes.OK:
            raise DemoError(
                f"The client of demo.json no longer works ({answer.code}): "
                "make a new one (make seed-dev)."
            )
        return self._with(answer)

    async def ask(self, method: str, path: str, *, expect: set[int], **content: Any) -> Answer:
        """
        Ask, wait when told to, and return an answer of an expected status.

        Raises:
            DemoError: nobody answers, or with another status.
        """
        response = await self._patiently(method, path, content)
        answer = Answer(status=response.status_code, body=_body(response))
        if answer.status in expect:
            return answer
        if answer.status in GONE:
            raise _unreachable(self.http, f"HTTP {answer.status}")
        detail = answer.body.get("detail", "") if isinstance(answer.body, dict) else ""
        raise DemoError(
            f"{method} {path} answered {answer.status} {answer.code}: {detail or 'no explanation'}"
            f"\nRequest {response.headers.get('X-Request-ID', 'unknown')} (make logs)."
        )

    async def _patiently(self, method: str, path: str, content: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        for tries_left in reversed(range(BUSY_TRIES_MAX)):
            try:
                response = await self.http.request(method, path, headers=headers, **content)
            except httpx.TransportError as error:
                raise _unreachable(self.http, type(error).__name__) from None
            if response.status_code not in BUSY or not tries_left:
                return response
            await asyncio.sleep(_pause(response))
        raise AssertionError("the last try returns")

    def _with(self, answer: Answer) -> "Api":
        return replace(self, token=answer.body["access_token"])


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Api]:
    """Yield the API at a URL, whatever proxies the environment names."""
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        yield Api(http=http)


def _published(folder: Path) -> str:
    try:
        return (folder / "url").read_text().strip()
    except OSError:
        raise DemoError(
            f"There is no {folder / 'url'}: the stack is not running. "
            "Start it (make up, or make run in another terminal)."
        ) from None


def _body(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _pause(response: httpx.Response) -> float:
    asked = response.headers.get("Retry-After", "")
    return min(float(asked) if asked.isdecimal() else 1.0, PAUSE_SECONDS_MAX)


def _unreachable(http: httpx.AsyncClient, reason: str) -> DemoError:
    return DemoError(
        f"The API at {http.base_url} does not answer ({reason}).\n"
        "See how the stack is (make status, make logs), then run the demo again. Nothing has to be "
        "cleaned up: each run is about ten new people."
    )
