"""Graph → graph. One verb per file; each takes a valid graph and returns a valid graph with the same meaning (or its derivative)."""
