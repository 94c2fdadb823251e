"""Programs as files that need no graphc."""
