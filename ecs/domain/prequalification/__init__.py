"""Decisions of prequalification. Not built yet."""
