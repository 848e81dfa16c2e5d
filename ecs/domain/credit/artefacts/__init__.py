"""Package data: the versioned scorecard and policy files."""
