"""The launcher over a table of fake services: `python fake_stack.py up …` takes the real commands."""

import os
import sys
from pathlib import Path

from deploy.local.__main__ import main
from deploy.local.stack import Process, Tier

FAKE = str(Path(__file__).with_name("fake_service.py"))

ROWS = (
    Process("alpha", Tier.RECORD, 3, {"FILE": "{data}/alpha/alpha.json"}, program=(FAKE, "alpha")),
    Process("beta", Tier.RECORD, 4, {"DATABASE_URL": "{postgres}"}, program=(FAKE, "beta"), signs=True),
    Process("beta-worker", Tier.WORKER, variables={"REDIS_URL": "{valkey}"}, program=(FAKE, "beta-worker"), signs=True),
    Process("gateway", Tier.DOOR, 80, {"ALPHA_URL": "{alpha}", "BETA_URL": "{beta}"}, program=(FAKE, "gateway")),
)

if __name__ == "__main__":
    sys.exit(main(rows=ROWS, root=Path(os.environ.get("FAKE_ROOT", "."))))
