"""`python -m elsa_unscripted`: the same as `elsa-unscripted`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
