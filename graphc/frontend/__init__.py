"""The notation: what the user writes is captured here as statements, and collected into a graph."""
