"""A call of a compiled program: what it takes, makes, gives back and can tell about its run."""
