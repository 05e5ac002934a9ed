#!/usr/bin/env bash
# Makes .venv-extras: Heddle with its optional extras (Ray), beside .venv and never in it. Run `make setup` first: the
# built job runtimes are shared. A second run finds its stamp and ends at once; an interrupted one starts anew.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv-extras
pins=(constraints.txt constraints-extras.txt)
stamp=$venv/.heddle-stamp
log=build/setup_extras.log

say() { printf '%s\n' "$*"; }
fail() { tail -n 15 $log >&2; printf 'setup_extras: %s; all of it is in %s\n' "$*" "$log" >&2; exit 1; }
wanted() { { pwd; cat pyproject.toml "${pins[@]}" scripts/setup_extras.sh; } | sha256sum | cut -d' ' -f1; }
ready() { [ -x $venv/bin/heddle ] && [ "$(cat $stamp 2>/dev/null)" = "$(wanted)" ]; }

ready && { say "Extras are set up already ($venv)."; exit 0; }
mkdir -p build
exec 9>build/setup_extras.lock
flock -n 9 || { say "Another set-up of the extras is running; waiting for it."; flock 9; }
ready && exit 0 # somebody else made it while we waited
started=$SECONDS

# Only what pip names is shown: one line for each twentieth package.
progress() {
  local total=$1 count=0 line
  while IFS= read -r line; do
    printf '%s\n' "$line" >>$log
    case $line in
      Collecting* | "Requirement already satisfied: "* | Processing*) count=$((count + 1)) ;;
      "Installing collected"*) say "  installing" ; continue ;;
      *) continue ;;
    esac
    [ $((count % 20 * (total - count))) -ne 0 ] || say "  [$count/$total] ${line%% (from*}"
  done
}

: >$log
total=$(cat "${pins[@]}" | grep -c '==')
say "Extras: $total packages into $venv (Ray alone is 285 MB)"
"${PYTHON:-.venv/bin/python}" -m venv --clear $venv >>$log 2>&1 || fail "the environment could not be made"
$venv/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off --no-deps \
  "${pins[@]/#/--requirement=}" 2>&1 | progress "$total" || fail "pip could not install them"
$venv/bin/python -m pip install --disable-pip-version-check --quiet --no-input --no-deps --no-build-isolation -e . >>$log 2>&1 ||
  fail "heddle itself could not be installed"
$venv/bin/python -m pip check >>$log 2>&1 || fail "the constraints are not complete"
wanted >$stamp
say "Extras set up in $((SECONDS - started)) s ($venv)."
