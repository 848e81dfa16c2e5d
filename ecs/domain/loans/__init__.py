"""Decisions of loans. Not built yet."""
