"""The native stack: private PostgreSQL, Redis, RabbitMQ, Nginx and the application, no Docker."""

from scripts.stack.stack import EVERYTHING, SERVICES_ONLY, Stack, StackError

__all__ = ["EVERYTHING", "SERVICES_ONLY", "Stack", "StackError"]
