"""Hands letters to a mail server over SMTP."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Final, Literal, Self
from urllib.parse import unquote, urlsplit

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from ecs.domain.notifications import Letter
from ecs.integrations.exceptions import MailUnavailable, MailUndeliverable
from ecs.integrations.mail.composing import compose

SECONDS_MAX: Final = 15.0
CONNECT_SECONDS_MAX: Final = 5.0
GOODBYE_SECONDS_MAX: Final = 1.0
PERMANENT: Final = range(500, 600)

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
    """Sends one letter on a connection of its own, in at most ``seconds_max``."""

    def __init__(
        self, server: SmtpServer, *, sender: str, seconds_max: float = SECONDS_MAX
    ) -> None:
        name, address = parseaddr(sender)
        self._server = server
        self._sender = Address(display_name=name, addr_spec=address)
        self._seconds_max = seconds_max

    async def send(self, letter: Letter) -> bool:
        """
        Return True once the server has taken the letter.

        Raises:
            MailUndeliverable: it refused this letter or its reader for good.
            MailUnavailable: it did not answer, asked us to come back, or refused us.
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
            async with asyncio.timeout(self._seconds_max):
                await _connect(connection)
                await connection.send_message(message, sender=self._sender.addr_spec)
        except (SMTPException, OSError, ValueError) as error:
            raise _translated(error) from None  # Its text repeats addresses.
        else:
            await _say_goodbye(connection)
        finally:
            connection.close()

    def _connection(self) -> SMTP:
        server = self._server
        return SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            username=server.user or None,
            password=server.password or None,
            local_hostname=self._sender.domain,
            timeout=self._seconds_max,
        )


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
    refuses is our own mistake, and somebody may repair it before the day is over.
    """
    if isinstance(error, SMTPRecipientsRefused):
        return _by_code(error.recipients[0].code, "recipient")
    if isinstance(error, SMTPDataError):
        return _by_code(error.code, "message")
    if isinstance(error, SMTPNotSupported | ValueError):
        return MailUndeliverable("address cannot be written")
    if isinstance(error, SMTPResponseException):
        return MailUnavailable(f"server answered {error.code}")
    return MailUnavailable(type(error).__name__)


def _by_code(code: int, refused: str) -> MailUnavailable | MailUndeliverable:
    kind = MailUndeliverable if code in PERMANENT else MailUnavailable
    return kind(f"{refused} refused: {code}")
