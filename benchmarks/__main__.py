"""`make bench`: every benchmark, one after the other. `python -m benchmarks --quick routing` runs one, shortly."""

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NOT_BENCHMARKS = {"__init__", "__main__"}


def names() -> list[str]:
    """Every module here that can be run."""
    return sorted(
        path.stem
        for path in HERE.glob("*.py")
        if path.stem not in NOT_BENCHMARKS and '__name__ == "__main__"' in path.read_text()
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: does everything still run?")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; all without one")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names()):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    failed = []
    for name in arguments.names or names():
        print(f"\n== {name} " + "=" * (76 - len(name)), flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *(["--quick"] if arguments.quick else [])]
        if subprocess.run(command, cwd=HERE.parent, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
