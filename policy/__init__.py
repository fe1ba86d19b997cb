"""Configuration files, and the policy that they state."""
