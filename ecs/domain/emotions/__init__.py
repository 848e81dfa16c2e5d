"""Readings of people's mood: what comes in, and how a person sees it."""
