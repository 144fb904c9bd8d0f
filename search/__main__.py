"""``python -m search <command>``; see ``search.cli``."""

import sys

from search.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
