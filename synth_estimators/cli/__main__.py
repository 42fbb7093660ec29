"""Lets ``python -m synth_estimators.cli`` run the command."""

import sys

from synth_estimators.cli import main

sys.exit(main())
