"""YAML text becomes a flow set: forms, templates, problems with their positions."""
