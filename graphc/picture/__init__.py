"""Pictures of graphs: what is drawn (`scene`), as DOT (`dot`), with numbers (`values`), as SVG, PNG and PDF (`render`)."""
