"""The hand-tuned building blocks that emitted text calls."""
