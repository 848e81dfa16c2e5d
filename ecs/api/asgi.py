"""What ``python -m ecs.api`` lets uvicorn start: the application, by this process's settings."""

from fastapi import FastAPI

from ecs.api.app import create_app
from ecs.config import settings_or_exit
from ecs.telemetry import start_telemetry


def create() -> FastAPI:
    """Read the settings once and return the application; stop when they are unusable."""
    settings = settings_or_exit()
    return create_app(settings, start_telemetry(settings, service="api"))
