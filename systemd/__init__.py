"""The few lines that speak to systemd."""
