"""How the demo speaks to the API: patiently, and in words that help when it cannot go on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
import pytest

from scripts.demo import __main__ as demo
from scripts.demo.api import BUSY_TRIES_MAX, Access, Api, DemoError, opened

ACCESS: Final = Access(url="http://127.0.0.1:9", client_id="c", client_secret="s")
NOT_NOW: Final = httpx.Response(503, headers={"Retry-After": "0"})

Answering = Callable[[httpx.Request], httpx.Response]


def an_api(answering: Answering) -> Api:
    transport = httpx.MockTransport(answering)
    return Api(http=httpx.AsyncClient(transport=transport, base_url="http://ecs.test"), token="t")


class TestAsking:
    async def test_carries_the_token_and_the_content(self) -> None:
        def answering(request: httpx.Request) -> httpx.Response:
            assert request.headers["Authorization"] == "Bearer t"
            return httpx.Response(201, json={"got": json.loads(request.content)})

        answer = await an_api(answering).post("/things", {"a": 1})
        assert (answer.status, answer.body) == (201, {"got": {"a": 1}})

    async def test_waits_for_whoever_is_busy(self) -> None:
        answers = [httpx.Response(200, json={}), NOT_NOW, NOT_NOW]
        assert (await an_api(lambda _: answers.pop()).get("/things")).status == 200
        assert answers == []

    async def test_does_not_wait_for_ever(self) -> None:
        asked = []

        def answering(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return NOT_NOW

        with pytest.raises(DemoError, match="answered 503"):
            await an_api(answering).get("/things")
        assert len(asked) == BUSY_TRIES_MAX

    async def test_repeats_what_the_api_says_of_a_refusal(self) -> None:
        problem = {"code": "email_taken", "detail": "Somebody has it."}
        api = an_api(lambda _: httpx.Response(409, json=problem, headers={"X-Request-ID": "r-1"}))
        with pytest.raises(DemoError) as refusal:
            await api.post("/api/v1/users", {})
        assert "POST /api/v1/users answered 409 email_taken: Somebody has it." in str(refusal.value)
        assert "r-1" in str(refusal.value)

    @pytest.mark.parametrize("status", [502, 504])
    async def test_says_what_to_do_when_nobody_is_behind_nginx(self, status: int) -> None:
        with pytest.raises(DemoError, match=r"(?s)does not answer .*make status"):
            await an_api(lambda _: httpx.Response(status, text="<html>")).get("/things")

    async def test_says_what_to_do_when_the_wire_is_cut(self) -> None:
        def answering(request: httpx.Request) -> httpx.Response:
            raise httpx.ReadError("cut")

        with pytest.raises(DemoError, match=r"(?s)does not answer .ReadError.*make status"):
            await an_api(answering).get("/things")

    async def test_says_what_to_do_when_the_client_is_no_longer_known(self) -> None:
        api = an_api(lambda _: httpx.Response(401, json={"error": "invalid_client"}))
        with pytest.raises(DemoError, match=r"(?s)invalid_client.*make seed-dev"):
            await api.as_client(ACCESS)

    async def test_finds_nobody_where_nothing_listens(self) -> None:
        async with opened(ACCESS.url) as api:
            with pytest.raises(DemoError, match=r"(?s)does not answer"):
                await api.as_client(ACCESS)


class TestTheAccess:
    def test_is_what_a_running_stack_has_published(self, tmp_path: Path) -> None:
        published(tmp_path)
        access = Access.read(tmp_path)
        assert (access.url, access.client_id, access.client_secret) == (ACCESS.url, "c", "s")
        assert "client_secret" not in repr(access)

    def test_takes_the_address_of_a_stack_that_does_not_say_it(self, tmp_path: Path) -> None:
        published(tmp_path)
        (tmp_path / "url").unlink()
        access = Access.read(tmp_path, url="http://api:8000")
        assert (access.url, access.client_id) == ("http://api:8000", "c")

    def test_is_missing_where_no_stack_runs(self, tmp_path: Path) -> None:
        with pytest.raises(DemoError, match=r"(?s)not running.*make up"):
            Access.read(tmp_path)

    @pytest.mark.parametrize("logins", ["", "{", "{}", '{"clients": []}', "[]", '{"clients": [1]}'])
    def test_is_missing_where_nobody_was_seeded(self, logins: str, tmp_path: Path) -> None:
        published(tmp_path)
        (tmp_path / "demo.json").write_text(logins)
        with pytest.raises(DemoError, match="make seed-dev"):
            Access.read(tmp_path)


class TestTheCommand:
    def test_ends_with_two_and_one_sentence_when_it_cannot_go_on(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        published(tmp_path)
        monkeypatch.setattr("sys.argv", ["demo", "--stack", str(tmp_path)])
        assert demo.main() == demo.IMPOSSIBLE
        said = capsys.readouterr()
        assert said.out == ""
        assert "does not answer" in said.err
        assert "Traceback" not in said.err

    def test_shows_what_is_documented_without_any_stack(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr("sys.argv", ["demo", "--documented", "--stack", str(tmp_path)])
        assert demo.main() == 0
        assert "Elena Prado" in capsys.readouterr().out


def published(folder: Path) -> None:
    """What `make up` leaves, of a stack that is no longer there."""
    (folder / "url").write_text(f"{ACCESS.url}\n")
    client = {"client_id": ACCESS.client_id, "client_secret": ACCESS.client_secret}
    (folder / "demo.json").write_text(json.dumps({"users": [], "clients": [client]}))
