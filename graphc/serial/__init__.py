"""Programs as text: JSON that contains no code."""
