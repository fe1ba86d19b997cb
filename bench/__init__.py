"""Measurements against other buses; not installed."""
