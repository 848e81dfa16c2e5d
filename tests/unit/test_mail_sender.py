"""What ``MAIL_FROM`` may say is what a letter can be from."""

import string
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.integrations.mail.composing import compose
from ecs.integrations.mail.sender import NAME_BYTES_MAX, sender_address
from ecs.integrations.mail.smtp_mailer import SmtpMailer, SmtpServer
from tests.letters import a_letter

SERVER: Final = SmtpServer.at("smtp://127.0.0.1")
ATOMS: Final = st.text(string.ascii_letters + string.digits + "_+-&'", min_size=1, max_size=12)
LABELS: Final = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,10}[A-Za-z0-9])?", fullmatch=True)
ADDRESSES: Final = st.builds(
    lambda local, domain: f"{'.'.join(local)}@{'.'.join(domain)}",
    st.lists(ATOMS, min_size=1, max_size=4),
    st.lists(LABELS, min_size=1, max_size=4),
)
NAMES: Final = st.one_of(
    st.text(min_size=1, max_size=45),
    st.text("ab é,.(:;@'", min_size=1, max_size=45),
    st.text(string.printable, min_size=1, max_size=100),
).filter(
    lambda name: (
        (name.isascii() or len(name.encode()) <= NAME_BYTES_MAX)
        and name.isprintable()
        and name == name.strip()
        and "=?" not in name
        and not set(name) & set('<>"\\')
    )
)
# Much of it is no sender; what is taken for one has to be one.
ANYTHING: Final = st.one_of(
    st.text(max_size=40),
    st.text("ab.@<> \"'\\-=?\r\n,;:()é", max_size=24),
    st.builds("{} <{}>".format, st.text(max_size=30), ADDRESSES),
)


def sent_from(sender: str) -> tuple[str, str]:
    """Return name and address of a composed letter's sender, as its reader's program sees it."""
    SmtpMailer(SERVER, sender=sender)
    content = compose(a_letter(), sender=sender_address(sender)).as_bytes()
    content.decode("ascii")
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert set(message.keys()) == HEADERS
    [address] = message["From"].addresses
    return _name(content), address.addr_spec


def _name(content: bytes) -> str:
    """Return the name in ``From``; the newer reader puts a space between two encoded words."""
    written = str(message_from_bytes(content)["From"]).rpartition("<")[0].strip()
    unquoted = written[1:-1] if written.startswith('"') else written
    return str(make_header(decode_header(unquoted)))


HEADERS: Final = set(compose(a_letter(), sender=sender_address("no-reply@ecs.example")).keys())


@given(address=ADDRESSES)
def test_an_address_may_stand_alone(address: str) -> None:
    assert sent_from(address) == ("", address)


@given(name=NAMES, address=ADDRESSES)
def test_a_name_before_it_may_have_any_letters(name: str, address: str) -> None:
    assert sent_from(f"{name} <{address}>") == (name, address)
    assert sent_from(f'"{name}" <{address}>') == (name, address)


@given(text=ANYTHING)
def test_whatever_is_taken_for_a_sender_can_send(text: str) -> None:
    try:
        address = sender_address(text)
    except ValueError:
        return
    assert sent_from(text) == (address.display_name, address.addr_spec)


@pytest.mark.parametrize("text", ["a..b@x.y", ".a@x.y", "a@..", "a@x..y", "a@b, c@d", "a@b\n"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        sender_address(text)
