"""The stack's addresses as the application's environment variables."""

import json
import shlex
from typing import Final

from scripts.stack.place import Place

DATABASE: Final = "ecs"
OWNER: Final = "ecs_owner"
APPLICATION: Final = "ecs_app"
MONITOR: Final = "ecs_monitor"
RABBITMQ_USER: Final = "ecs"


def database_url(user: str, password: str, port: int, *, database: str = DATABASE) -> str:
    """Return a PostgreSQL URL on this machine."""
    return f"postgresql://{user}:{password}@127.0.0.1:{port}/{database}"


def application_environment(place: Place, ports: dict[str, int]) -> dict[str, str]:
    """Return every setting of the application, as its environment variables."""
    settings = _common(ports) | _database(place, ports) | _brokers(place, ports)
    return settings | _watching(place, ports) | _secrets(place)


def as_file(environment: dict[str, str]) -> str:
    """Return ``environment`` in a form that a shell reads, too."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in environment.items())


def _common(ports: dict[str, int]) -> dict[str, str]:
    return {
        "ENVIRONMENT": "development",
        "DEBUG": "true",
        "APP_PORT": str(ports["http"]),
        "LOG_LEVEL": "info",
        "FEATURE_ENGINEERING_TRANSACTIONS_LAST_DAYS": "30",
        "FEATURE_ENGINEERING_TRANSACTIONS_LIMIT": "1000",
        "FEATURE_ENGINEERING_EMOTIONAL_EVENTS_PERIOD_DAYS": "7",
        "FEATURE_ENGINEERING_EMOTIONAL_EVENTS_LIMIT": "50",
        "CREDIT_CURRENCY": "BRL",
        "CREDIT_OFFER_EXPIRES_HOURS": "360",
        "PREQUALIFICATION_TEST_PANS": "ABCDE1234F,FGHIJ5678K",
        "BUREAU_SIMULATION": "answers",
        "METRICS_ENABLED": "true",
        "METRICS_HOST": "127.0.0.1",
        "METRICS_PORT": "0",
    }


def _watching(place: Place, ports: dict[str, int]) -> dict[str, str]:
    watching = place.watching()
    collector = f"http://127.0.0.1:{ports['otlp']}" if watching.keeps_traces else watching.traces
    return {"SENTRY_DSN": watching.sentry_dsn, "OTEL_EXPORTER_OTLP_ENDPOINT": collector}


def _database(place: Place, ports: dict[str, int]) -> dict[str, str]:
    secrets, port = place.secrets(), ports["postgres"]
    return {
        "DB_URL": database_url(APPLICATION, secrets["app"], port),
        "DB_OWNER_URL": database_url(OWNER, secrets["owner"], port),
        "POSTGRES_USER": OWNER,
        "POSTGRES_PASSWORD": secrets["owner"],
        "POSTGRES_DB": DATABASE,
        "POSTGRES_APP_USER": APPLICATION,
        "POSTGRES_APP_PASSWORD": secrets["app"],
    }


def _brokers(place: Place, ports: dict[str, int]) -> dict[str, str]:
    secrets = place.secrets()
    return {
        "REDIS_URL": f"redis://:{secrets['redis']}@127.0.0.1:{ports['redis']}/0",
        "RABBITMQ_USER": RABBITMQ_USER,
        "RABBITMQ_PASS": secrets["rabbitmq"],
        "RABBITMQ_HOST": "127.0.0.1",
        "RABBITMQ_PORT": str(ports["amqp"]),
        "SMTP_URL": f"smtp://127.0.0.1:{ports['smtp']}",
        "MAIL_FROM": "Empathic Credit <no-reply@ecs.localhost>",
    }


def _secrets(place: Place) -> dict[str, str]:
    return {
        "JWT_SECRET": place.secrets()["jwt"],
        "JWT_EXPIRES_SECONDS": "900",
        "JWT_ALGORITHM": "HS256",
        "JWT_ISSUER": "ecs",
        "JWT_AUDIENCE": "ecs-api",
        "CLIENT_SECRET_KEY": place.secrets()["client_key"],
        "BLIND_INDEX_KEY": place.secrets()["blind_index"],
        "AUDIT_SEAL_KEY": place.secrets()["audit_seal"],
        "IDEMPOTENCY_KEY": place.secrets()["idempotency"],
        "BUREAU_KEY": place.secrets()["bureau"],
        **_keyring(place),
    }


def _keyring(place: Place) -> dict[str, str]:
    ring = place.keyring()
    return {"ENCRYPTION_KEYS": json.dumps(ring.keys), "ENCRYPTION_ACTIVE_KEY_ID": ring.active}
