"""Cashflow."""
