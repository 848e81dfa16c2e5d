"""The native stack: private PostgreSQL, Redis, RabbitMQ, Nginx and the application, no Docker."""

from scripts.stack.errors import StackError
from scripts.stack.stack import EVERYTHING, SERVICES_ONLY, Stack

__all__ = ["EVERYTHING", "SERVICES_ONLY", "Stack", "StackError"]
