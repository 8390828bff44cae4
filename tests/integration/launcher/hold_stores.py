"""Starts both stores in the folder given, prints their pids, and waits to be killed. Stops nothing itself."""

import json
import signal
import sys
from pathlib import Path

from deploy.local.postgres import EmbeddedPostgres
from deploy.local.valkey import EmbeddedValkey

stores = [EmbeddedPostgres(Path(sys.argv[1])), EmbeddedValkey(Path(sys.argv[1]))]
for store in stores:
    store.start()
sys.stdout.write(json.dumps([store.server_pid() for store in stores]) + "\n")
sys.stdout.flush()
signal.pause()
