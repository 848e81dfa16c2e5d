"""Delete a person for good; the record of decisions stays, pseudonymised."""

import argparse
import asyncio
import sys

from ecs.bootstrap import owner_application
from ecs.config import settings_or_exit
from ecs.log import configure_logging
from ecs.services.exceptions import BusinessLogicError


async def forget(email: str) -> None:
    """Forget the person as the owner of the database: the application itself may not."""
    async with owner_application(settings_or_exit()) as ecs:
        await ecs.maintenance.forget_user(email=email)


def main() -> None:
    """Read the address, forget the person, say so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--email", required=True)
    email = parser.parse_args().email
    configure_logging(level="warning", service="forget-user")
    try:
        asyncio.run(forget(email))
    except BusinessLogicError as refusal:
        sys.exit(f"Not forgotten: {refusal.detail}")
    print("Forgotten; the record of decisions stays, pseudonymised.", file=sys.stderr)  # noqa: T201  (a command's answer)


if __name__ == "__main__":
    main()
