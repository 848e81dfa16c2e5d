"""Add a client program and print its credentials, once: one JSON line."""

import argparse
import asyncio
import json

from ecs.bootstrap import owner_application
from ecs.config import settings_or_exit
from ecs.domain.people import CLIENT_SCOPES
from ecs.services.auth_service import NewClient


def credentials(client: NewClient) -> dict[str, object]:
    """Return what the owner of a client has to keep."""
    return {
        "client_id": str(client.client_id),
        "client_secret": client.client_secret,
        "name": client.name,
        "scopes": sorted(client.scopes),
    }


def scopes_of(text: str) -> frozenset[str]:
    """Return the scopes in ``text``, split by spaces or commas; unknown ones are an error."""
    asked = frozenset(text.replace(",", " ").split())
    unknown = asked - CLIENT_SCOPES
    if unknown or not asked:
        raise argparse.ArgumentTypeError(
            f"choose among {' '.join(sorted(CLIENT_SCOPES))}"
            + (f"; unknown: {' '.join(sorted(unknown))}" if unknown else "")
        )
    return asked


def name_of(text: str) -> str:
    """Return a client's name, 1 to 200 characters."""
    name = text.strip()
    if not 1 <= len(name) <= 200:  # noqa: PLR2004  (the column's bound)
        raise argparse.ArgumentTypeError("a name has 1 to 200 characters")
    return name


async def create(name: str, scopes: frozenset[str]) -> NewClient:
    """Add the client as the owner of the database: the application itself may not."""
    async with owner_application(settings_or_exit()) as ecs:
        return await ecs.auth.create_client(name=name, scopes=scopes)


def main() -> None:
    """Read the arguments, add the client, print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, type=name_of)
    parser.add_argument("--scopes", required=True, type=scopes_of, help="separated by spaces")
    arguments = parser.parse_args()
    client = asyncio.run(create(arguments.name, arguments.scopes))
    print(json.dumps(credentials(client)))  # noqa: T201  (its one answer)


if __name__ == "__main__":
    main()
