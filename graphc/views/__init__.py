"""What a person sees: text, formulas, pictures, derivations and tables."""
