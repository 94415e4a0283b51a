"""YAML text as values with positions, checked against strict forms: what flows and the config are both read with."""
