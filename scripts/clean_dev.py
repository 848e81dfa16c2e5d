"""Remove all data and mail, keep the schema. Development only; asks nobody."""

import asyncio
import sys
from pathlib import Path
from typing import Final

from ecs.bootstrap import owner_application
from ecs.config import Settings, settings_or_exit

# Where the native stack keeps what would have been sent (``scripts.stack.mail_sink``).
MAIL: Final = Path(__file__).resolve().parents[1] / ".stack" / "mail"


async def clean(settings: Settings) -> list[str]:
    """Empty every table; return their names."""
    async with owner_application(settings) as ecs:
        return await ecs.maintenance.remove_everything()


def remove_mail(folder: Path) -> int:
    """Delete every message in ``folder``; return how many there were."""
    files = list(folder.glob("*.eml"))
    for file in files:
        file.unlink(missing_ok=True)
    return len(files)


def main() -> None:
    """Refuse in production; clean anywhere else."""
    settings = settings_or_exit()
    if not settings.development:
        sys.exit("This removes all data, and ENVIRONMENT is production: refused.")
    names = asyncio.run(clean(settings))
    print(f"emptied {', '.join(names)}; {remove_mail(MAIL)} mails", file=sys.stderr)  # noqa: T201  (a command's answer)


if __name__ == "__main__":
    main()
