"""`python -m evospace`."""

import sys

from evospace.cli import main

sys.exit(main())
