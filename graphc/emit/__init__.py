"""Loop nests → program text. Emitters know nothing of graphs."""
