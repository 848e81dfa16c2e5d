"""
Add the demo people and a demo client, and write down how to log in.

    python -m scripts.seed_dev --out .stack/demo.json

Running it again adds who is missing, and what the people did meanwhile. Development only.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.progress import track

from ecs.bootstrap import Application, owner_application
from ecs.config import Settings, settings_or_exit
from ecs.domain.consents import Purpose
from ecs.domain.people import CLIENT_SCOPES
from ecs.log import configure_logging
from ecs.services.exceptions import EmailTaken, InvalidClient, InvalidGrant
from scripts.create_client import credentials
from scripts.demo_people import PERSONAS, Persona, transactions_of

CLIENT_NAME = "demo-feed"
CONSENT_LOCALE = "en"


def password_of(persona: Persona, settings: Settings) -> str:
    """Return the persona's password: the deployment's own, so that it can be written down again."""
    key = settings.client_secret_key.get_secret_value().encode()
    return hmac.new(key, f"demo:{persona.name}".encode(), hashlib.sha256).hexdigest()[:24]


async def seed(settings: Settings, known: dict[str, Any]) -> dict[str, Any]:
    """Add who is missing; return all logins, with the ``known`` client when it still works."""
    async with owner_application(settings) as ecs:
        client = await _client(ecs, known)
        people = track(
            PERSONAS, description="demo people", console=Console(stderr=True), transient=True
        )
        users = [
            await _person(ecs, persona, settings, UUID(client["client_id"])) for persona in people
        ]
    return {"users": users, "clients": [client]}


async def _client(ecs: Application, known: dict[str, Any]) -> dict[str, Any]:
    for client in known.get("clients", []):
        try:
            await ecs.auth.log_in_client(
                client_id=UUID(client["client_id"]), secret=client["client_secret"]
            )
        except InvalidClient:
            continue
        return dict(client)
    return credentials(await ecs.auth.create_client(name=CLIENT_NAME, scopes=CLIENT_SCOPES))


async def _person(
    ecs: Application, persona: Persona, settings: Settings, client_id: UUID
) -> dict[str, Any]:
    password = password_of(persona, settings)
    user_id = await _user_id(ecs, persona, password)
    await ecs.transactions.ingest(
        transactions_of(
            persona,
            user_id=user_id,
            now=ecs.transactions.now(),
            currency=settings.credit.currency,
        ),
        client_id=client_id,
    )
    await _consent(ecs, user_id, client_id)
    return {
        "id": str(user_id),
        "persona": persona.name,
        "email": persona.email,
        "password": password,
    }


async def _consent(ecs: Application, user_id: UUID, client_id: UUID) -> None:
    """Consent on the person's behalf, once: whoever withdrew it since has had the last word."""
    given = await ecs.consents.list_consents(user_id)
    if not any(consent.client_id == client_id for consent in given):
        await ecs.consents.grant(
            user_id=user_id,
            purpose=Purpose.EMOTION_CREDIT_DECISION,
            client_id=client_id,
            locale=CONSENT_LOCALE,
            request_id=None,
        )


async def _user_id(ecs: Application, persona: Persona, password: str) -> UUID:
    """Return who the persona is; register who is missing."""
    try:
        token = await ecs.auth.log_in_user(email=persona.email, password=password)
    except InvalidGrant:
        try:
            user = await ecs.auth.register(
                email=persona.email, full_name=persona.full_name, password=password
            )
        except EmailTaken:
            sys.exit(f"{persona.email} has another password; run `make clean-dev seed-dev`.")
        return user.id
    return (await ecs.auth.authenticate(token.access_token)).id


def main() -> None:
    """Read the arguments, seed, write the logins."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(".stack/demo.json"))
    out: Path = parser.parse_args().out
    settings = settings_or_exit()
    configure_logging(level="warning", service="seed-dev")
    if not settings.development:
        sys.exit("Demo people are for development; ENVIRONMENT is production.")
    known = json.loads(out.read_text()) if out.exists() else {}
    logins = asyncio.run(seed(settings, known))
    out.parent.mkdir(exist_ok=True)
    out.touch(mode=0o600)
    out.write_text(json.dumps(logins, indent=2) + "\n")


if __name__ == "__main__":
    main()
