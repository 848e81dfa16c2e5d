"""Delete a person for good; the record of decisions stays, pseudonymised."""

import argparse
import asyncio
import sys
from uuid import UUID

from ecs.bootstrap import owner_application
from ecs.config import Settings, settings_or_exit
from ecs.domain.streams import STREAMS, names
from ecs.log import configure_logging
from ecs.services.exceptions import (
    AccountExists,
    BusinessLogicError,
    DestinationUnavailable,
    TopologyMismatch,
)
from ecs.streaming import dead_letter_box


async def forget(settings: Settings, email: str) -> UUID:
    """Forget the person as the owner of the database: the application itself may not."""
    async with owner_application(settings) as ecs:
        return await ecs.maintenance.forget_user(email=email)


async def discard_letters(settings: Settings, user_id: UUID) -> list[str]:
    """Remove what names the person and nobody could use; return what was done."""
    said: list[str] = []
    for name, stream in STREAMS.items():
        box = dead_letter_box(settings, stream=stream)
        try:
            gone = await box.discard(lambda letter: names(letter.body, user_id))
            said.append(f"{gone} dead letters removed from {stream.dead_queue}.")
        except (DestinationUnavailable, TopologyMismatch) as error:
            command = f"make dead-letters STREAM={name} DISCARD=user:{user_id}"
            said.append(f"{stream.dead_queue} is out of reach ({error}). Later, run: {command}")
    patience = max(sum(stream.retry_seconds) for stream in STREAMS.values())
    if patience:
        said.append(
            f"A message that is just being tried again may yet end as a dead letter. In"
            f" {1 + patience // 3600} hours, run: make dead-letters DISCARD=user:{user_id}"
        )
    return said


def main() -> None:
    """Read the address, forget the person, say so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--email", required=True)
    email = parser.parse_args().email
    configure_logging(level="warning", service="forget-user")
    settings = settings_or_exit()
    try:
        user_id = asyncio.run(forget(settings, email))
    except AccountExists:
        sys.exit(
            "Not forgotten: this person's credit is running; the account has to be closed first."
        )
    except BusinessLogicError as refusal:
        sys.exit(f"Not forgotten: {refusal.detail}")
    print(f"Forgotten: {user_id}; the record of decisions stays, pseudonymised.", file=sys.stderr)  # noqa: T201  (a command's answer)
    print(*asyncio.run(discard_letters(settings, user_id)), sep="\n", file=sys.stderr)  # noqa: T201  (the same)


if __name__ == "__main__":
    main()
