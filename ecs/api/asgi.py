"""What uvicorn starts: ``uvicorn ecs.api.asgi:create --factory``."""

import sys

from fastapi import FastAPI

from ecs.api.app import create_app
from ecs.config import SettingsError, read_settings
from ecs.log import configure_logging


def create() -> FastAPI:
    """Read the settings once and return the application; stop when they are unusable."""
    try:
        settings = read_settings()
    except SettingsError as error:
        sys.exit(f"ecs: {error}")
    configure_logging(level=settings.log_level, service="api")
    return create_app(settings)
