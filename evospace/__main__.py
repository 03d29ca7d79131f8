"""`python -m evospace`, and the command `evospace`: where a program that is ended while it loads ends in a line."""

import signal
import sys


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        from evospace.cli import main as run

        code = run()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said and stored: one more Ctrl-C has nothing to end
        return code
    except KeyboardInterrupt:
        went_on = "anything went on; all is as it was, go on with --resume"
        text = went_on if "--resume" in sys.argv else "anything was begun"
        print(f"evospace: interrupted before {text}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
