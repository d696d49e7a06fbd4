"""`python -m jobs`: the same as the `basereward` command."""

import sys

from jobs.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
