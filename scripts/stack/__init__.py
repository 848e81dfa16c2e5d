"""The native stack: private PostgreSQL, Redis, RabbitMQ, Nginx and the application, no Docker."""

from scripts.stack.errors import StackError
from scripts.stack.stack import BROKER_ONLY, EVERYTHING, SERVICES_ONLY, Stack

__all__ = ["BROKER_ONLY", "EVERYTHING", "SERVICES_ONLY", "Stack", "StackError"]
