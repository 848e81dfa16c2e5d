import re
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.notifications import (
    Letter,
    Message,
    NotificationKind,
    acceptance_failed,
    acceptance_refused,
)
from ecs.integrations.mail.composing import compose
from tests.letters import a_letter

SENDER: Final = Address("Empathic Credit", addr_spec="no-reply@ecs.example")
HEADERS: Final = {
    *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version"),
    *("X-Auto-Response-Suppress", "Content-Type", "Content-Language"),
}
ANYTHING: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
HOSTILE: Final = st.one_of(
    ANYTHING,
    st.sampled_from(
        [
            "Hello\r\nBcc: all@example.com\r\n\r\nSecond body",
            "<script>alert(1)</script><img src=https://evil.example/t.png>",
            '"><a href="https://evil.example">here</a>',
            "{{ 7 * 7 }}{% for x in y %}",
            "=?utf-8?q?=0d=0aBcc:_all@example.com?=",
            "a\u2028b\u0085c\x0bd\x00e",
            "\u202eevil",
        ]
    ),
)


class Elements(HTMLParser):
    """Notes every element and attribute of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, frozenset[str]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, frozenset(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def received(letter: Letter) -> EmailMessage:
    """The letter as a mail program reads it from the wire."""
    message = message_from_bytes(compose(letter, sender=SENDER).as_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def told(message: Message) -> Letter:
    return a_letter(kind=message.kind, title=message.title, body=message.body, account=None)


class TestHeaders:
    def test_are_those_of_a_mail_that_no_machine_answers(self) -> None:
        letter = a_letter()
        message = received(letter)
        assert set(message.keys()) == HEADERS
        assert message["From"] == "Empathic Credit <no-reply@ecs.example>"
        assert message["To"] == "maria@example.com"
        assert message["Subject"] == "Your credit account is open"
        assert message["Message-ID"] == f"<{letter.notification_id}@ecs.example>"
        assert message["Date"].datetime == letter.written_at
        assert message["Auto-Submitted"] == "auto-generated"

    def test_are_written_in_ascii_lines_that_every_server_takes(self) -> None:
        wire = compose(a_letter(title="Sua conta está aberta " * 20), sender=SENDER).as_bytes()
        assert wire.isascii()
        assert max(len(line) for line in wire.split(b"\r\n")) <= 998
        assert b"\n" not in wire.replace(b"\r\n", b"")

    def test_of_an_international_domain_are_the_ones_of_the_wire(self) -> None:
        assert received(a_letter(recipient="maria@exämple.test"))["To"] == (
            "maria@xn--exmple-cua.test"
        )

    @pytest.mark.parametrize("recipient", ["nobody", "a@b@c.test", "a\r\nb@example.com", "", "a@"])
    def test_refuse_an_address_that_cannot_be_written(self, recipient: str) -> None:
        with pytest.raises(ValueError):  # noqa: PT011  (the text repeats the address)
            compose(a_letter(recipient=recipient), sender=SENDER)

    @given(title=HOSTILE, name=HOSTILE, body=HOSTILE)
    def test_gain_no_companion_by_what_somebody_wrote(
        self, title: str, name: str, body: str
    ) -> None:
        message = received(a_letter(title=title, full_name=name, body=body))
        assert set(message.keys()) == HEADERS
        assert message["To"] == "maria@example.com"
        assert [p.get_content_type() for p in message.iter_parts()] == ["text/plain", "text/html"]


class TestWords:
    @pytest.mark.parametrize("kind", ["plain", "html"])
    def test_of_an_opened_account_say_what_it_is_worth(self, kind: str) -> None:
        text = part(received(a_letter()), kind)
        for fact in ("BRL 4,550.00", "Long-term credit", "15.37 % a year", "1 March 2026"):
            assert fact in text
        assert "Hello Maria," in text

    @pytest.mark.parametrize("kind", ["plain", "html"])
    @pytest.mark.parametrize(
        "message",
        [acceptance_refused("You already have an active credit account."), acceptance_failed()],
        ids=lambda message: message.kind,
    )
    def test_of_other_news_say_what_happened_and_what_can_be_done(
        self, message: Message, kind: str
    ) -> None:
        letter = told(message)
        text = " ".join(part(received(letter), kind).split())
        assert message.title in text
        assert message.body in text
        assert "What you can do next".casefold() in text.casefold()
        assert f"Reference: {letter.notification_id}" in text
        assert "Credit limit" not in text

    def test_greet_somebody_without_a_usable_name_all_the_same(self) -> None:
        text = part(received(a_letter(full_name="http://evil.example")), "plain")
        assert "Hello,\n" in text
        assert "evil" not in text

    def test_in_plain_text_fit_a_narrow_window(self) -> None:
        for kind in NotificationKind:
            lines = part(received(a_letter(kind=kind)), "plain").splitlines()
            assert max(map(len, lines)) <= 78
            assert "\n\n\n" not in "\n".join(lines)

    @given(name=HOSTILE, title=HOSTILE, body=HOSTILE)
    def test_bring_no_markup_of_their_own(self, name: str, title: str, body: str) -> None:
        hostile = Elements(part(received(a_letter(full_name=name, title=title, body=body)), "html"))
        assert hostile.found == Elements(part(received(a_letter(full_name="A")), "html")).found

    @given(body=HOSTILE)
    def test_begin_no_paragraph_of_their_own(self, body: str) -> None:
        """Nobody can make a plain text look as if it said something else further down."""
        lines = part(received(a_letter(body=f"Begin. {body} End.")), "plain").split("\n")
        begin, next_step = lines.index("Hello Maria,"), lines.index("WHAT YOU CAN DO NEXT")
        written = lines[begin + 2 : next_step - 6]
        assert all(written), written
        assert written[-1].endswith("End.")


class TestPage:
    def test_loads_nothing_links_nowhere_and_runs_nothing(self) -> None:
        page = part(received(a_letter()), "html")
        tags = {tag for tag, _ in Elements(page).found}
        assert not tags & {"a", "img", "script", "link", "iframe", "form", "object", "svg"}
        assert not re.search(r"https?:|url\(|@import", page)

    def test_adapts_to_dark_rooms_and_small_screens(self) -> None:
        page = part(received(a_letter()), "html")
        assert "prefers-color-scheme: dark" in page
        assert "width=device-width" in page
        assert "max-width:560px" in page

    def test_names_its_language_for_whoever_listens_to_it(self) -> None:
        assert '<html lang="en">' in part(received(a_letter()), "html")


def test_a_second_copy_is_the_same_to_the_byte() -> None:
    letter = a_letter()
    copies: Any = {compose(letter, sender=SENDER).as_bytes() for _ in range(3)}
    assert len(copies) == 1
