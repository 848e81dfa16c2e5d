"""
Remove all data, keep the schema. Development only; asks nobody as long as the database is here.

    python -m scripts.clean_dev --confirm ecs

A database on another machine has to be named by ``--confirm``. The mail of the native stack goes
only together with its own database.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ecs.bootstrap import owner_application
from ecs.config import Settings, settings_or_exit
from ecs.setting_types import LOOPBACK

# Where the native stack keeps its settings, and what would have been sent.
STACK: Final = Path(__file__).resolve().parents[1] / ".stack"
# The last is what Compose calls its own; a name of no machine elsewhere.
NEAR: Final = LOOPBACK | {"postgres"}


async def clean(settings: Settings) -> list[str]:
    """Empty every table; return their names."""
    async with owner_application(settings) as ecs:
        return await ecs.maintenance.remove_everything()


def refusal(settings: Settings, *, confirmed: str) -> str:
    """Return why nothing is removed, or an empty string."""
    if not settings.development:
        return "This removes all data, and ENVIRONMENT is production: refused."
    address = urlsplit(database_url(settings))
    name = address.path.strip("/")
    if address.hostname in NEAR or confirmed == name:
        return ""
    return (
        f"This removes all data of the database {name} on {address.hostname}, which is not this "
        f"machine. If you mean that: CONFIRM={name} (with make), --confirm {name}."
    )


def database_url(settings: Settings) -> str:
    """Return the address of what would be emptied."""
    return settings.db_owner_url or settings.db_url


def is_of_the_native_stack(settings: Settings, folder: Path) -> bool:
    """Return whether the database is the one of the stack that keeps its settings in ``folder``."""
    try:
        lines = (folder / "env").read_text().splitlines()
    except OSError:
        return False
    address = database_url(settings).partition("://")[2]
    return any(
        name == "DB_OWNER_URL" and url.strip("\"'").partition("://")[2] == address
        for name, _, url in (line.partition("=") for line in lines)
    )


def remove_mail(folder: Path) -> int:
    """Delete every message in ``folder``; return how many there were."""
    files = list(folder.glob("*.eml"))
    for file in files:
        file.unlink(missing_ok=True)
    return len(files)


def main() -> None:
    """Refuse in production and far away; clean anywhere else."""
    parser = argparse.ArgumentParser(description="Remove all data, keep the schema.")
    parser.add_argument("--confirm", default="", help="the name of a database that is elsewhere")
    confirmed = parser.parse_args().confirm
    settings = settings_or_exit()
    reason = refusal(settings, confirmed=confirmed)
    if reason:
        sys.exit(reason)
    names = asyncio.run(clean(settings))
    mails = remove_mail(STACK / "mail") if is_of_the_native_stack(settings, STACK) else 0
    print(f"emptied {', '.join(names)}; {mails} mails", file=sys.stderr)  # noqa: T201  (a command's answer)


if __name__ == "__main__":
    main()
