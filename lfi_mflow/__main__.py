"""``python -m lfi_mflow``: the command line, as ``torchrun -m lfi_mflow`` starts it."""

import sys

from lfi_mflow.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
