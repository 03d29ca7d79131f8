"""`python -m evospace`, and the command `evospace`: where a program that is ended while it loads ends in a line."""

import sys


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        from evospace.cli import main as run

        return run()
    except KeyboardInterrupt:
        print("evospace: interrupted before anything was begun", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
