"""Processes behind the API: they translate queues into use cases."""
