#!/usr/bin/env bash
# Makes .venv hold exactly requirements.lock plus our two packages (editable). Needs a Python 3.11+ and a package index.
set -euo pipefail
cd "$(dirname "$0")/.."
export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1

python=${PYTHON:-}
if [[ -z "$python" ]]; then
  for candidate in python3.13 python3.12 python3.11 python3; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python=$candidate; break
    fi
  done
fi
[[ -n "$python" ]] || { echo "Bureau needs Python 3.11 or newer on PATH (or PYTHON=/path/to/python)" >&2; exit 1; }

if [[ ! -x .venv/bin/python ]]; then
  if command -v uv >/dev/null; then
    uv venv --quiet --python "$python" .venv
  else
    "$python" -m venv .venv || { echo "'$python -m venv' failed: install the venv module (Debian: python3-venv) or uv" >&2; exit 1; }
  fi
fi
uv=$(command -v uv || true)
if [[ -z "$uv" ]]; then
  [[ -x .venv/bin/uv ]] || .venv/bin/python -m pip install --quiet --disable-pip-version-check "$(sed -n 's/^\(uv==[0-9.]*\).*/\1/p' requirements.lock)"
  uv=.venv/bin/uv
fi
echo "installing what requirements.lock names into .venv …"
"$uv" pip sync --quiet --python .venv/bin/python requirements.lock
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e contracts -e sdk
touch .venv/.installed
