"""What every ``Mailer`` promises, asked of a real mail server that misbehaves when told to."""

import asyncio
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path
from typing import Any, Final

import pytest

from ecs.integrations.exceptions import (
    MailError,
    MailPerhapsSent,
    MailUnavailable,
    MailUndeliverable,
)
from ecs.integrations.mail.composing import compose
from ecs.integrations.mail.log_mailer import LogMailer
from ecs.integrations.mail.sender import sender_address
from ecs.integrations.mail.smtp_mailer import SmtpServer
from tests.contracts.mail_server import (
    SECONDS_MAX,
    Server,
    failure_of,
    mailer_for,
    serving,
)
from tests.letters import SENDER, a_letter

PERSONAL: Final = ("maria", "Maria", "Souza", "4,550", "credit account")


class TestTaken:
    async def test_a_letter_arrives_whole(self) -> None:
        letter = a_letter()
        async with serving(Server()) as server:
            assert await mailer_for(server).send(letter)
        [envelope] = server.taken
        assert envelope.mail_from == "no-reply@ecs.example"
        assert envelope.rcpt_tos == [letter.recipient]
        message = message_from_bytes(envelope.original_content or b"")
        assert message["Message-ID"] == f"<{letter.notification_id}@ecs.example>"
        assert message["Auto-Submitted"] == "auto-generated"

    async def test_a_line_may_start_with_dots(self) -> None:
        letter = a_letter(title=".", body=". .. ...")
        async with serving(Server()) as server:
            assert await mailer_for(server).send(letter)
        expected = compose(letter, sender=sender_address(SENDER)).as_bytes()
        assert server.taken[0].original_content == expected
        assert b"\r\n." in expected

    async def test_a_server_may_think_for_longer_than_a_letter_takes_to_leave(self) -> None:
        async with serving(Server(thinks=SECONDS_MAX + 0.5)) as server:
            assert await mailer_for(server).send(a_letter())
        assert len(server.taken) == 1

    async def test_an_international_address_arrives_where_the_server_knows_such(self) -> None:
        async with serving(Server(), enable_SMTPUTF8=True) as server:
            assert await mailer_for(server).send(a_letter(recipient="joão@exämple.test"))
        assert server.taken[0].rcpt_tos == ["joão@xn--exmple-cua.test"]

    @pytest.mark.parametrize("trouble", [{"silent_at": "QUIT"}, {"hangs_up_at": "QUIT"}])
    async def test_what_goes_wrong_afterwards_does_not_make_it_untaken(
        self, trouble: dict[str, Any]
    ) -> None:
        async with serving(Server(**trouble)) as server:
            assert await mailer_for(server).send(a_letter())
        assert len(server.taken) == 1

    async def test_twenty_at_once_are_twenty_letters(self) -> None:
        letters = [a_letter() for _ in range(20)]
        async with serving(Server()) as server:
            await asyncio.gather(*(mailer_for(server).send(letter) for letter in letters))
        assert len(server.taken) == 20


class TestRefusedForGood:
    @pytest.mark.parametrize("code", [550, 551, 553])
    async def test_a_reader_who_does_not_exist(self, code: int) -> None:
        async with serving(Server(answers={"RCPT": f"{code} no maria@example.com here"})) as server:
            error = await failure_of(server)
        assert isinstance(error, MailUndeliverable)
        assert str(error) == f"recipient refused: {code}"

    @pytest.mark.parametrize("command", ["DATA", "DOT"])
    async def test_words_that_the_server_does_not_want(self, command: str) -> None:
        async with serving(Server(answers={command: "554 spam for Maria"})) as server:
            error = await failure_of(server)
        assert isinstance(error, MailUndeliverable)
        assert str(error) == "message refused: 554"

    @pytest.mark.parametrize("recipient", ["nobody", "a b@example.com", "x@y@z"])
    async def test_an_address_that_cannot_be_written(self, recipient: str) -> None:
        async with serving(Server()) as server:
            error = await failure_of(server, a_letter(recipient=recipient))
        assert isinstance(error, MailUndeliverable)
        assert server.taken == []

    async def test_an_international_address_where_the_server_knows_none(self) -> None:
        async with serving(Server()) as server:
            error = await failure_of(server, a_letter(recipient="joão@example.com"))
        assert isinstance(error, MailUndeliverable)


class TestNotThisTime:
    @pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "DOT"])
    @pytest.mark.parametrize("code", [421, 450, 451, 452])
    async def test_a_server_that_asks_us_to_come_back(self, command: str, code: int) -> None:
        async with serving(Server(answers={command: f"{code} later, Maria"})) as server:
            error = await failure_of(server)
        assert isinstance(error, MailUnavailable)
        assert str(code) in str(error)

    async def test_a_sender_it_does_not_know_is_our_mistake_and_can_be_repaired(self) -> None:
        async with serving(Server(answers={"MAIL": "550 who are you"})) as server:
            assert isinstance(await failure_of(server), MailUnavailable)

    @pytest.mark.parametrize("command", ["RCPT", "DOT"])
    @pytest.mark.parametrize(
        "refusal",
        [
            "554 5.7.1 <maria@example.com>: Relay access denied",
            "550 5.7.26 Maria, this mail is unauthenticated",
            "550 relay not permitted",
            "550-5.7.1 We know\r\n550 5.7.1 nobody of you",
        ],
    )
    async def test_a_refusal_that_means_us_can_be_repaired(
        self, command: str, refusal: str
    ) -> None:
        async with serving(Server(answers={command: refusal})) as server:
            error = await failure_of(server)
        assert isinstance(error, MailUnavailable)
        assert refusal[:3] in str(error)

    @pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
    @pytest.mark.parametrize("trouble", ["silent_at", "hangs_up_at"])
    async def test_a_server_that_stops_in_the_middle(self, trouble: str, command: str) -> None:
        async with serving(Server(**dict[str, Any]({trouble: command}))) as server:
            started = time.monotonic()
            error = await failure_of(server)
        assert isinstance(error, MailUnavailable)
        assert time.monotonic() - started < SECONDS_MAX + 2  # A busy machine.
        assert server.taken == []

    async def test_nobody_listens(self) -> None:
        assert isinstance(await failure_of(Server(port=1)), MailUnavailable)

    async def test_nobody_of_that_name(self) -> None:
        error = await failure_of(Server(port=25), host="mail.invalid")
        assert isinstance(error, MailUnavailable)

    async def test_somebody_listens_and_never_greets(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            error = await failure_of(Server(port=silent.getsockname()[1]))
        assert isinstance(error, MailUnavailable)


class TestInDoubt:
    @pytest.mark.parametrize("trouble", ["silent_at", "hangs_up_at"])
    async def test_a_letter_that_left_and_was_not_answered_was_perhaps_taken(
        self, trouble: str
    ) -> None:
        async with serving(Server(**dict[str, Any]({trouble: "DOT"}))) as server:
            error = await failure_of(server)
        assert isinstance(error, MailPerhapsSent)
        assert len(server.taken) == 1

    async def test_an_answer_that_nobody_understands_is_none(self) -> None:
        async with serving(Server(answers={"DOT": "What, Maria?"})) as server:
            assert isinstance(await failure_of(server), MailPerhapsSent)

    @pytest.mark.parametrize(("code", "kind"), [(554, MailUndeliverable), (451, MailUnavailable)])
    async def test_an_answer_counts_whatever_happens_to_the_connection_then(
        self, code: int, kind: type[MailError]
    ) -> None:
        async with serving(Server(answers={"DOT": f"{code} no"}, silent_at="RSET")) as server:
            started = time.monotonic()
            assert type(await failure_of(server)) is kind
        assert time.monotonic() - started < SECONDS_MAX


class TestSecurity:
    @pytest.fixture
    def certificate(self, tmp_path: Path) -> ssl.SSLContext:
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
                *("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
            ],
            check=True,
            capture_output=True,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.certificate_file = certificate
        return context

    @pytest.fixture
    def trusted(
        self, certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
    ) -> ssl.SSLContext:
        """The server's certificate, and a client's machine that trusts it."""
        monkeypatch.setenv("SSL_CERT_FILE", str(self.certificate_file))
        return certificate

    async def test_a_connection_is_secured_before_anybody_logs_in(
        self, trusted: ssl.SSLContext
    ) -> None:
        async with serving(
            Server(), starttls=trusted, require_starttls=True, auth_required=True
        ) as server:
            mailer = mailer_for(server, security="starttls", user="ecs", password="p@ss/word")
            assert await mailer.send(a_letter())
        assert server.logins == [b"ecs:p@ss/word"]
        assert len(server.taken) == 1

    async def test_a_connection_can_be_secure_from_its_first_byte(
        self, trusted: ssl.SSLContext
    ) -> None:
        async with serving(Server(), tls=trusted) as server:
            assert await mailer_for(server, security="tls").send(a_letter())

    @pytest.mark.parametrize("security", ["starttls", "tls"])
    async def test_a_certificate_that_nobody_vouches_for_is_not_believed(
        self, certificate: ssl.SSLContext, security: str
    ) -> None:
        both = {"starttls": certificate} if security == "starttls" else {"tls": certificate}
        async with serving(Server(), **both) as server:
            error = await failure_of(server, security=security, user="ecs", password="p@ss/word")
        assert isinstance(error, MailUnavailable)
        assert (server.taken, server.logins) == ([], [])

    async def test_a_server_without_encryption_is_not_good_enough_where_it_is_asked_for(
        self,
    ) -> None:
        async with serving(Server()) as server:
            error = await failure_of(server, security="starttls")
        assert isinstance(error, MailUnavailable)
        assert server.taken == []

    async def test_a_refused_login_is_our_mistake_and_can_be_repaired(
        self, trusted: ssl.SSLContext
    ) -> None:
        async with serving(Server(), starttls=trusted, auth_required=True) as server:
            error = await failure_of(server, security="starttls", user="ecs", password="wrong")
        assert isinstance(error, MailUnavailable)
        assert "535" in str(error)


class TestSecrets:
    @pytest.mark.parametrize(
        "trouble",
        [
            {"answers": {"RCPT": "550 no maria@example.com, Maria Souza"}},
            {"answers": {"RCPT": "450 maria@example.com later"}},
            {"answers": {"DOT": "554 Your credit account is open? Spam"}},
            {"answers": {"DOT": "554 5.7.1 Your credit account is open? Spam"}},
            {"answers": {"DOT": "Maria, your credit account is open"}},
            {"answers": {"MAIL": "451 maria@example.com"}},
            {"hangs_up_at": "DATA"},
            {"hangs_up_at": "DOT"},
        ],
    )
    async def test_a_failure_says_nothing_about_anybody(self, trouble: dict[str, Any]) -> None:
        async with serving(Server(**trouble)) as server:
            error = await failure_of(server)
        assert not any(word in f"{error!r} {error}" for word in PERSONAL)
        assert error.__cause__ is None
        # What Python would print otherwise.
        assert error.__suppress_context__ or error.__context__ is None

    def test_a_server_shows_no_login(self) -> None:
        server = SmtpServer.at("smtps://ecs:p%40ss%2Fword@mail.example")
        assert (server.user, server.password) == ("ecs", "p@ss/word")
        assert "ecs" not in repr(server)
        assert "p@ss" not in repr(server)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://relay", SmtpServer(host="relay", port=25, security="none")),
        ("smtp://127.0.0.1:2525", SmtpServer(host="127.0.0.1", port=2525, security="none")),
        ("smtp+starttls://relay", SmtpServer(host="relay", port=587, security="starttls")),
        ("smtps://relay/", SmtpServer(host="relay", port=465, security="tls")),
        (
            "smtps://a%40b:c%3Ad@relay:1465",
            SmtpServer(host="relay", port=1465, security="tls", user="a@b", password="c:d"),
        ),
    ],
)
def test_a_url_says_where_and_how(url: str, server: SmtpServer) -> None:
    assert SmtpServer.at(url) == server


async def test_without_a_server_nobody_is_written_to_and_only_an_id_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    letter = a_letter()
    assert not await LogMailer().send(letter)
    said = capsys.readouterr().out
    assert "mail.off" in said
    assert str(letter.notification_id) in said
    assert not any(word in said for word in PERSONAL)


MAILERS: Final[dict[str, Callable[[Server], Any]]] = {
    "smtp": mailer_for,
    "log": lambda _: LogMailer(),
}


@pytest.mark.parametrize("kind", MAILERS)
async def test_every_mailer_takes_a_letter_and_says_whether_it_was_sent(kind: str) -> None:
    async with serving(Server()) as server:
        sent = await MAILERS[kind](server).send(a_letter())
    assert sent == bool(server.taken) == (kind == "smtp")
