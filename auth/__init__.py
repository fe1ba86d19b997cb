"""The server side of SASL, sans-IO."""
