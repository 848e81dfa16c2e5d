"""A real mail server that misbehaves when told to, and a mailer that writes to it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

from ecs.domain.notifications import Letter
from ecs.integrations.exceptions import MailError
from ecs.integrations.mail.smtp_mailer import SmtpMailer, SmtpServer
from tests.letters import SENDER, a_letter

SECONDS_MAX: Final = 1.0
ANSWER_SECONDS_MAX: Final = 3.0


@dataclass(kw_only=True)
class Server:
    """A mail server that answers as it is told to, and keeps what it took."""

    answers: dict[str, str] = field(default_factory=dict)
    silent_at: str = ""
    hangs_up_at: str = ""
    thinks: float = 0.0
    port: int = 0
    taken: list[Envelope] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)

    async def handle_MAIL(  # noqa: N802  (aiosmtpd's name; so are the next)
        self, server: SMTP, _: Any, envelope: Envelope, address: str, __: Any
    ) -> str:
        envelope.mail_from = address
        return await self.answer(server, "MAIL")

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, _: Any, envelope: Envelope, address: str, __: Any
    ) -> str:
        envelope.rcpt_tos.append(address)
        return await self.answer(server, "RCPT")

    async def handle_DATA(self, server: SMTP, _: Any, envelope: Envelope) -> str:  # noqa: N802
        """As Postfix does: what is taken is taken, however late and whether or not we hear."""
        if self.answers.get("DOT", "250").startswith("250"):
            self.taken.append(envelope)
        await asyncio.sleep(self.thinks)
        return await self.answer(server, "DOT")

    async def handle_QUIT(self, server: SMTP, _: Any, __: Envelope) -> str:  # noqa: N802
        return await self.answer(server, "QUIT", usual="221 Bye")

    async def handle_RSET(self, server: SMTP, _: Any, __: Envelope) -> str:  # noqa: N802
        return await self.answer(server, "RSET")

    def check_login(self, _: Any, __: Any, ___: Any, ____: str, login: Any) -> AuthResult:
        assert isinstance(login, LoginPassword)
        self.logins.append(login.login + b":" + login.password)
        return AuthResult(success=login.password == b"p@ss/word", handled=False)

    async def answer(self, server: SMTP, command: str, *, usual: str = "250 OK") -> str:
        if command == self.silent_at:
            await asyncio.sleep(60)
        if command == self.hangs_up_at:
            _cut_off(server)
            return "421 gone"
        return self.answers.get(command, usual)


class Conversation(SMTP):
    """A conversation that can also go wrong before a letter is asked for."""

    def __init__(self, server: Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802  (aiosmtpd's name)
        answer = await self._server.answer(self, "DATA", usual="")
        if answer:
            await self.push(answer)
        else:
            await super().smtp_DATA(arg)


@asynccontextmanager
async def serving(
    server: Server,
    *,
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
    **options: Any,
) -> AsyncIterator[Server]:
    """Listen; whoever is still being answered at the end is cut off."""
    loop, protocols = asyncio.get_running_loop(), list[SMTP]()

    def answer() -> SMTP:
        protocols.append(
            Conversation(
                server,
                hostname="mail.example",
                loop=loop,
                tls_context=starttls,
                authenticator=server.check_login if "auth_required" in options else None,
                **options,
            )
        )
        return protocols[-1]

    listening = await loop.create_server(answer, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for protocol in protocols:
            _cut_off(protocol)
        await asyncio.sleep(0)


def _cut_off(protocol: SMTP) -> None:
    if isinstance(protocol.transport, asyncio.WriteTransport):
        protocol.transport.abort()


def mailer_for(server: Server, **changes: Any) -> SmtpMailer:
    plain: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "security": "none"}
    return SmtpMailer(
        SmtpServer(**(plain | changes)),
        sender=SENDER,
        seconds_max=SECONDS_MAX,
        answer_seconds_max=ANSWER_SECONDS_MAX,
    )


async def failure_of(server: Server, letter: Letter | None = None, **changes: Any) -> MailError:
    with pytest.raises(MailError) as failed:
        await mailer_for(server, **changes).send(letter or a_letter())
    return failed.value
