"""`python -m tfrecon` is the `tfrecon` command."""

import sys

from tfrecon.cli.main import main

sys.exit(main())
