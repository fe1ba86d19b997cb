"""Measurements against other buses: no part of what is installed."""
