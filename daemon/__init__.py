"""The bus as a user sees it."""
