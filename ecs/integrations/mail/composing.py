"""Turns a notification into an e-mail: plain text and HTML, the same bytes at each try."""

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Final

from email_validator import validate_email
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from ecs.domain.notifications import Letter, NotificationKind, OpenedAccount, first_name

NEXT_STEPS: Final[Mapping[NotificationKind, str]] = {
    NotificationKind.ACCOUNT_OPENED: (
        "Sign in to see your account and how much of the credit is available. "
        "When you use it, and how much of it, is up to you."
    ),
    NotificationKind.ACCEPTANCE_REFUSED: (
        "Sign in to see your offers and the reasons behind each decision. "
        "There is nothing you have to do."
    ),
    NotificationKind.ACCEPTANCE_FAILED: (
        "Sign in and accept the offer once more. There is no need to apply again."
    ),
}
assert set(NEXT_STEPS) == set(NotificationKind)  # A new kind cannot be forgotten here.
CREDIT_TYPES: Final = {"short_term": "Short-term credit", "long_term": "Long-term credit"}
NOT_PRINTABLE: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")
HUNDREDTH: Final = Decimal("0.01")

_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=select_autoescape(enabled_extensions=("html",), default=False),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def compose(letter: Letter, *, sender: Address) -> EmailMessage:
    """
    Return the whole message.

    Nothing in it is random, so a second copy is known by its ``Message-ID`` and by its bytes.

    Raises:
        ValueError: the recipient's address cannot be written into a header.
    """
    title, words = _one_line(letter.title), _words(letter)
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = _recipient(letter.recipient)
    # Python decodes an encoded word that it is given, and would write a line break inside of it.
    message["Subject"] = title.replace("=?", "= ?")
    message["Date"] = letter.written_at
    message["Message-ID"] = f"<{letter.notification_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    for kind, add in (("plain", message.set_content), ("html", message.add_alternative)):
        text = _TEMPLATES.get_template(f"notification.{kind}").render(title=title, **words)
        add(text, subtype=kind, cte="quoted-printable")
    message["Content-Language"] = "en"
    message.set_boundary(f"=_{letter.notification_id.hex}")
    return message


def facts(account: OpenedAccount) -> list[tuple[str, str]]:
    """Return the terms of an account as people read them."""
    percent = (account.apr * 100).quantize(HUNDREDTH, ROUND_HALF_EVEN)
    kind = CREDIT_TYPES.get(account.credit_type, account.credit_type)
    return [
        ("Credit limit", f"{account.currency} {account.credit_limit.grouped}"),
        ("Kind of credit", kind),
        ("Annual percentage rate", f"{percent} % a year"),
        ("Opened on", f"{account.opened_at.day} {account.opened_at:%B %Y}"),
    ]


def _words(letter: Letter) -> dict[str, object]:
    return {
        "first_name": first_name(letter.full_name),
        "body": _one_line(letter.body),
        "facts": facts(letter.account) if letter.account else [],
        "next_step": NEXT_STEPS[letter.kind],
        "reference": str(letter.notification_id),
    }


def _one_line(text: str) -> str:
    """Return ``text`` without what could start a line, or a header, of its own."""
    return NOT_PRINTABLE.sub(" ", text).strip()


def _recipient(address: str) -> Address:
    """Return the bare address: anybody may choose a name, and no name is needed to arrive."""
    parts = validate_email(address, check_deliverability=False, test_environment=True)
    return Address(username=parts.local_part, domain=parts.ascii_domain)
