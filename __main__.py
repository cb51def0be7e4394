"""`python -m pocketrank` is the command `pocketrank`."""

import sys

from pocketrank.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
