"""``python -m gapkit`` is the ``gapkit`` command."""

from gapkit.cli import main

if __name__ == "__main__":
    main()
