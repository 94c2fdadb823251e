"""``python -m graphc.cli``: the command line without its entry point on the path."""

from graphc.cli.main import main

if __name__ == "__main__":
    main()
