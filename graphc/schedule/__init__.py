"""Graph → steps: loop order, roles and strategies. The target enters here, as data."""
