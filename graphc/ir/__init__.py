"""Data only: expressions, affine forms, tensors, statements, graphs, loop nests and their text. No algorithm lives here."""
