#!/usr/bin/env bash
# Makes .venv-clients, the environment of the unmodified Substrate clients that tests/clients talks through, and prints
# its Python. A second run is instant; an interrupted one starts anew.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv-clients
pins=tests/clients/constraints.txt
stamp=$venv/.heddle-stamp
log=build/client_environment.log

wanted() { { pwd; cat "$pins" scripts/client_environment.sh; } | sha256sum | cut -d' ' -f1; }
ready() { [ -x $venv/bin/python ] && [ "$(cat $stamp 2>/dev/null)" = "$(wanted)" ]; }

if ! ready; then
  mkdir -p build
  exec 9>build/client_environment.lock
  flock 9
  if ! ready; then # nobody else made it while we waited
    {
      "${PYTHON:-.venv/bin/python}" -m venv --clear $venv &&
        $venv/bin/python -m pip install --disable-pip-version-check --no-input --no-deps -r $pins &&
        $venv/bin/python -m pip check &&
        wanted >$stamp
    } >$log 2>&1 || { tail -n 15 $log >&2; echo "client_environment: it could not be made, see $log" >&2; exit 1; }
  fi
fi
echo "$PWD/$venv/bin/python"
