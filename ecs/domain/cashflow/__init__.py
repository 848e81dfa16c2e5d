"""Decisions of cashflow. Not built yet."""
