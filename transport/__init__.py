"""Addresses, listeners and the two ways a message can go."""
