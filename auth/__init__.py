"""The server side of SASL authentication; ``server.py`` is its main module."""
