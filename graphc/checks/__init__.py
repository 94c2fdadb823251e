"""Whether a derived gradient is right: exactly at tiny sizes, and numerically at the user's."""
