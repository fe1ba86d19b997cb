"""Names of one bus on another: `omnibus-link`, a client of both. It uses nothing of the daemon."""
