"""Takes 3D-print orders from a marketplace, prints each once, and leads the operator's hands through the rest."""

import gc
import os
import sys
from typing import Any, cast

__version__ = "0.1.0"

# What is imported is no garbage, and looking for some after every 700 new objects takes a tenth of each command's start.
gc.set_threshold(50_000)
# No other package's plugin takes part in checking what comes from outside; looking for some costs every command 30 ms.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
# httpx takes its command-line program along where it finds rich: 5 MB of every daemon.
sys.modules.setdefault("httpx._main", cast(Any, None))
