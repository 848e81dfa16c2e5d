"""Decisions of emotions. Not built yet."""
