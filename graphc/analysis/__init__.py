"""Facts about graphs: ranges, legality, injectivity, cost. Nothing here builds new statements."""
