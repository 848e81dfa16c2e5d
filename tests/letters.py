"""Letters for the tests of e-mail."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID, uuid4

from ecs.domain.money import Money
from ecs.domain.notifications import Letter, NotificationKind, OpenedAccount, account_opened

SENDER: Final = "Empathic Credit <no-reply@ecs.example>"
ACCOUNT: Final = OpenedAccount(
    credit_limit=Money(455_000),
    currency="BRL",
    credit_type="long_term",
    apr=Decimal("0.153662"),
    opened_at=datetime(2026, 3, 1, 23, 59, tzinfo=UTC),
)


def a_letter(notification_id: UUID | None = None, **changes: Any) -> Letter:
    """Good news for Maria, or with ``changes`` something else for somebody else."""
    news = account_opened(credit_limit="4,550.00", currency="BRL")
    plain = Letter(
        notification_id=notification_id or uuid4(),
        kind=NotificationKind.ACCOUNT_OPENED,
        recipient="maria@example.com",
        full_name="Maria Souza",
        title=news.title,
        body=news.body,
        written_at=datetime(2026, 3, 1, 23, 59, 58, tzinfo=UTC),
        account=ACCOUNT,
    )
    return replace(plain, **changes)
