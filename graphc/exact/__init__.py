"""Exact scalars: symbolic values at a point, their derivatives by SymPy, and a normal form that proves equalities."""
