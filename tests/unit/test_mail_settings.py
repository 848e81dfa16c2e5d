from typing import Final

import pytest

from ecs.config import MailSettings, Settings, SettingsError, read_settings
from tests.unit.test_settings import environment

__all__ = ["environment"]  # The fixture of a production environment.

SERVERS: Final = (
    "",
    "smtp://relay",
    "smtp://relay:2525/",
    "smtp://ecs:Qz1xVb-p4ss7788-kQzL2w@127.0.0.1:25",
    "smtp+starttls://ecs:Qz1xVb-p4ss7788-kQzL2w@mail.example.com:587",
    "smtps://ecs%40example.com:Qz1xVb-p4ss7788-kQzL2w@mail.example.com",
    "smtps://ecs:kq3VbX0y@mail.example.com",  # A provider's password is as long as it is.
)
NO_SERVERS: Final = (
    "7788",
    "http://mail7788",
    "smtp://",
    "smtp://:Qz1xVb-p4ss7788-kQzL2w@",
    "smtps://:Qz1xVb-p4ss7788-kQzL2w@mail",
    "smtps://ecs7788@mail",
    "smtps://ecs7788:@mail",
    "smtps://:@mail7788",
    "smtp://relay:77880",
    "smtp://relay7788/path",
    "smtp://relay?timeout=7788",
    "smtp://relay 7788",
    "smtp://relay\n7788",
)
SENDERS: Final = (
    "no-reply@ecs.localhost",
    "Empathic Credit <no-reply@ecs.localhost>",
    "O'Neill Sons <o.neill+mail@mail.example.com>",
    "Crédito <a@b>",
    "Bank & Co <a@b.co>",
    "Bank, Inc. <a@b.co>",
    '"Bank, Inc." <a@b.co>',
    "No-Reply@Mail.Example.COM",
)
NO_SENDERS: Final = (
    "7788",
    "",
    "<7788@ecs.localhost>",
    "Credit 7788@ecs.localhost>",
    "Credit <7788@ecs.localhost",
    "Credit <7788>",
    "Credit <á7788@b>",
    'Cre"dit7788 <a@b>',
    "Credit\u202e7788 <a@b>",
    "Credit  <7788@b>",
    "7788" * 26 + " <a@b>",
    "é" * 20 + "-7788- <a@b>",
    "a7788@x..y",
    "7788..b@x.y",
    ".7788@x.y",
    "7788.@x.y",
    "7788@..",
    "7788@-",
    "7788@b-.c",
    "7788@b_c.d",
    "7788@[127.0.0.1]",
    "7788" * 17 + "@b",
    "a@" + "7788." * 60 + "b",
    "Credit <a@b>\r\nBcc: 7788@c",
    "=?utf-8?q?=0d=0aBcc:_7788?= <a@b>",
    "a@b, 7788@c",
)


@pytest.mark.parametrize("url", SERVERS)
def test_a_mail_server_may_be_used_in_production(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv("SMTP_URL", url)
    assert read_settings().mail.smtp_url == url


@pytest.mark.parametrize("url", NO_SERVERS)
def test_what_is_no_mail_server_is_refused_by_name_and_not_shown(
    environment: pytest.MonkeyPatch, url: str
) -> None:
    environment.setenv("SMTP_URL", url)
    with pytest.raises(SettingsError, match="SMTP_URL must be") as refused:
        read_settings()
    assert "7788" not in str(refused.value)


@pytest.mark.parametrize("password", ["change-me", "MyPassword-2026!"])
def test_a_login_that_is_well_known_is_refused_in_production_alone(
    environment: pytest.MonkeyPatch, password: str
) -> None:
    environment.setenv("SMTP_URL", f"smtps://ecs:{password}@mail.example.com")
    with pytest.raises(SettingsError, match="known default") as refused:
        read_settings()
    assert password not in str(refused.value)
    environment.setenv("ENVIRONMENT", "development")
    assert read_settings().mail.smtp_url


def test_a_login_in_the_clear_is_refused_in_production_alone(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("SMTP_URL", "smtp://ecs:Qz1xVb-p4ss7788-kQzL2w@mail.example.com:25")
    with pytest.raises(SettingsError, match="in the clear") as refused:
        read_settings()
    assert "7788" not in str(refused.value)
    environment.setenv("ENVIRONMENT", "development")
    assert read_settings().mail.smtp_url


@pytest.mark.parametrize("sender", SENDERS)
def test_a_sender_may_have_a_name(environment: pytest.MonkeyPatch, sender: str) -> None:
    environment.setenv("MAIL_FROM", sender)
    assert read_settings().mail.mail_from == sender


@pytest.mark.parametrize("sender", NO_SENDERS)
def test_what_is_no_sender_is_refused_by_name_and_not_shown(
    environment: pytest.MonkeyPatch, sender: str
) -> None:
    environment.setenv("MAIL_FROM", sender)
    with pytest.raises(SettingsError, match="MAIL_FROM must be") as refused:
        read_settings()
    assert "7788" not in str(refused.value)


def test_without_either_nothing_is_sent_and_a_sender_is_known(
    environment: pytest.MonkeyPatch,
) -> None:
    assert read_settings().mail == MailSettings(
        smtp_url="", mail_from="Empathic Credit <no-reply@ecs.localhost>"
    )


def test_a_password_is_not_shown_by_accident(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SMTP_URL", "smtps://ecs:Qz1xVb-p4ss7788-kQzL2w@mail.example.com")
    settings = read_settings()
    assert isinstance(settings, Settings)
    assert "7788" not in repr(settings)
    assert "7788" not in repr(settings.mail)
