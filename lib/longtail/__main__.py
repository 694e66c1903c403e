"""python -m longtail: the same as the command `longtail`."""

import sys

from longtail.cli.main import main

sys.exit(main())
