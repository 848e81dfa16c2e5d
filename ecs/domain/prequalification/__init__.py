"""Prequalification."""
