"""Programs on several ranks: what each computes, and what they exchange."""
