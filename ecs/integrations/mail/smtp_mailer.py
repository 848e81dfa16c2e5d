"""Hands letters to a mail server over SMTP."""

import asyncio
import contextlib
import re
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, Final, Literal, Self
from urllib.parse import unquote, urlsplit

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponse,
    SMTPResponseException,
    SMTPServerDisconnected,
)
from aiosmtplib.typing import Default

from ecs.domain.notifications import Letter
from ecs.integrations.exceptions import MailPerhapsSent, MailUnavailable, MailUndeliverable
from ecs.integrations.mail.composing import compose
from ecs.integrations.mail.sender import sender_address

# Until the whole letter has left.
SECONDS_MAX: Final = 15.0
# Then, for the server to say that it has it. It may have taken the letter long before it says so,
# and RFC 5321 (4.5.3.2.6) asks for patience: who hangs up early sends a second copy.
ANSWER_SECONDS_MAX: Final = 120.0
CONNECT_SECONDS_MAX: Final = 5.0
GOODBYE_SECONDS_MAX: Final = 1.0
PERMANENT: Final = range(500, 600)
TAKEN: Final = range(200, 300)
GO_AHEAD: Final = 354
# What the server's policy says of us, not of the reader: we may not send, or not from here.
ABOUT_US: Final = re.compile(r"5\.7\.\d|.*\brelay", re.IGNORECASE)
LEADING_DOT: Final = re.compile(rb"^\.", re.MULTILINE)

Security = Literal["none", "starttls", "tls"]
SCHEMES: Final[dict[str, tuple[Security, int]]] = {
    "smtp": ("none", 25),
    "smtp+starttls": ("starttls", 587),
    "smtps": ("tls", 465),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Where letters are handed over; an empty ``user`` means nobody logs in."""

    host: str
    port: int
    security: Security
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def at(cls, url: str) -> Self:
        """Return the server at ``smtp://``, ``smtp+starttls://`` or ``smtps://``."""
        parts = urlsplit(url)
        security, usual_port = SCHEMES[parts.scheme]
        return cls(
            host=parts.hostname or "",
            port=parts.port or usual_port,
            security=security,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )


class SmtpMailer:
    """
    Sends one letter on a connection of its own.

    A letter leaves in at most ``seconds_max``, or never; what became of it is waited for in
    ``answer_seconds_max`` more.
    """

    def __init__(
        self,
        server: SmtpServer,
        *,
        sender: str,
        seconds_max: float = SECONDS_MAX,
        answer_seconds_max: float = ANSWER_SECONDS_MAX,
    ) -> None:
        self._server = server
        self._sender = sender_address(sender)
        self._seconds_max = seconds_max
        self._answer_seconds_max = answer_seconds_max

    async def send(self, letter: Letter) -> bool:
        """
        Return True once the server has taken the letter.

        Raises:
            MailUndeliverable: it refused this letter or its reader for good.
            MailUnavailable: it did not answer, asked us to come back, or refused us.
            MailPerhapsSent: it has the whole letter, and did not say whether it takes it.
        """
        try:
            message = compose(letter, sender=self._sender)
        except ValueError:  # Without its cause: it repeats the address.
            raise MailUndeliverable("address cannot be written") from None
        await self._hand_over(message)
        return True

    async def _hand_over(self, message: EmailMessage) -> None:
        connection = self._connection()
        try:
            async with asyncio.timeout(self._seconds_max) as limit:
                connection.limit = limit
                await _connect(connection)
                await connection.send_message(message, sender=self._sender.addr_spec)
        except (SMTPException, OSError, ValueError) as error:
            raise _translated(error) from None  # Its text repeats addresses.
        else:
            await _say_goodbye(connection)
        finally:
            connection.close()

    def _connection(self) -> "_Connection":
        server = self._server
        return _Connection(
            answer_seconds_max=self._answer_seconds_max,
            hostname=server.host,
            port=server.port,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            username=server.user or None,
            password=server.password or None,
            local_hostname=self._sender.domain,
            timeout=self._seconds_max,
        )


class _Connection(SMTP):
    """A connection for one letter that tells what never left from what perhaps arrived."""

    def __init__(self, *, answer_seconds_max: float, **options: Any) -> None:
        super().__init__(**options)
        self._answer_seconds_max = answer_seconds_max
        self.limit: asyncio.Timeout | None = None

    async def data(
        self,
        message: str | bytes,
        /,
        *,
        timeout: float | Literal[Default.token] | None = Default.token,  # noqa: ASYNC109  (aiosmtplib's)
    ) -> SMTPResponse:
        """Send the letter; once its last line is written, only the server's answer counts."""
        start = await self.execute_command(b"DATA", timeout=timeout)
        if start.code != GO_AHEAD:
            raise SMTPDataError(start.code, start.message)
        answer = await self._answer_to(message.encode() if isinstance(message, str) else message)
        if answer.code not in TAKEN:
            raise _by_answer(answer.code, answer.message, "message")
        return answer

    async def _answer_to(self, content: bytes) -> SMTPResponse:
        if self.protocol is None:
            raise SMTPServerDisconnected("Connection lost")
        if self.limit is not None:
            if self.limit.expired():
                raise TimeoutError
            self.limit.reschedule(None)  # From here on, the answer's own limit counts.
        self.protocol.write(LEADING_DOT.sub(b"..", content) + b".\r\n")
        try:
            return await self.protocol.read_response(timeout=self._answer_seconds_max)
        except (SMTPException, OSError) as error:
            raise MailPerhapsSent(type(error).__name__) from None


async def _connect(connection: SMTP) -> None:
    """Connect, secure the connection and log in; whatever is wrong there is no letter's fault."""
    try:
        await connection.connect(timeout=CONNECT_SECONDS_MAX)
    except (SMTPException, OSError, ValueError) as error:
        code = f" {error.code}" if isinstance(error, SMTPResponseException) else ""
        raise MailUnavailable(f"{type(error).__name__}{code}") from None


async def _say_goodbye(connection: SMTP) -> None:
    """Leave politely. The letter is taken: what goes wrong from here on must not repeat it."""
    with contextlib.suppress(SMTPException, OSError):
        async with asyncio.timeout(GOODBYE_SECONDS_MAX):
            await connection.quit()


def _translated(error: Exception) -> MailUnavailable | MailUndeliverable:
    """
    Tell a letter that is refused for good from a server that refuses us today.

    Only what a server says to this reader or to these words is final: a login or a sender that it
    refuses, or that we may not send there, is our own mistake, and somebody may repair it before
    the day is over.
    """
    if isinstance(error, SMTPRecipientsRefused):
        [refusal] = error.recipients
        return _by_answer(refusal.code, refusal.message, "recipient")
    if isinstance(error, SMTPDataError):
        return _by_answer(error.code, error.message, "message")
    if isinstance(error, SMTPNotSupported | ValueError):
        return MailUndeliverable("address cannot be written")
    if isinstance(error, SMTPResponseException):
        return MailUnavailable(f"server answered {error.code}")
    return MailUnavailable(type(error).__name__)


def _by_answer(code: int, words: str, refused: str) -> MailUnavailable | MailUndeliverable:
    is_final = code in PERMANENT and not ABOUT_US.match(words)
    kind = MailUndeliverable if is_final else MailUnavailable
    return kind(f"{refused} refused: {code}")
