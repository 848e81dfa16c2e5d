"""Remove all data, keep the schema. Development only; asks nobody."""

import asyncio
import sys

from ecs.bootstrap import owner_application
from ecs.config import Settings, settings_or_exit


async def clean(settings: Settings) -> list[str]:
    """Empty every table; return their names."""
    async with owner_application(settings) as ecs:
        return await ecs.maintenance.remove_everything()


def main() -> None:
    """Refuse in production; clean anywhere else."""
    settings = settings_or_exit()
    if not settings.development:
        sys.exit("This removes all data, and ENVIRONMENT is production: refused.")
    names = asyncio.run(clean(settings))
    print(f"emptied {', '.join(names)}", file=sys.stderr)  # noqa: T201  (a command's answer)


if __name__ == "__main__":
    main()
