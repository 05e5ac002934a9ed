#!/usr/bin/env bash
# Makes .venv with .venv/bin/heddle: Debian packages, pinned Python packages, job runtimes.
# A second run finds its stamp and ends at once, without the network. An interrupted run is taken up again.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
stamp=$venv/.heddle-stamp        # what was set up, as one hash; written last
unfinished=$venv/.heddle-unfinished # there while packages are being installed
debian_packages=(python3-venv python3-dev gcc libc6-dev libgmp-dev bubblewrap) # the last for native jobs
log=build/setup.log

say() { printf '%s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# --- 1. Has this been done? ------------------------------------------------------------------------------------------
wanted() { # every input of the set-up; the folder too, because a venv cannot be moved
  { pwd; cat pyproject.toml constraints.txt scripts/setup.sh; } | sha256sum | cut -d' ' -f1
}
runtimes_built() { [ ! -f node/processor/runtimes/build.py ] || $venv/bin/python -m node.processor.runtimes.build --check >/dev/null 2>&1; }

if [ -x $venv/bin/heddle ] && [ "$(cat $stamp 2>/dev/null)" = "$(wanted)" ] && runtimes_built; then
  say "Set up already ($venv)."
  exit 0
fi
mkdir -p build
exec 9>build/setup.lock
flock -n 9 || { say "Another set-up of this folder is running; waiting for it."; flock 9; exec "$0"; }
started=$SECONDS

# --- 2. Debian packages ----------------------------------------------------------------------------------------------
install_debian_packages() {
  local missing=() package
  for package in "${debian_packages[@]}"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local command="apt-get install -y --no-install-recommends ${missing[*]}" become=()
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      become=(sudo -n)
    else
      say "These Debian packages are missing: ${missing[*]}"
      say "Run this once, then 'make setup' again:"
      say ""
      say "    sudo apt-get update && sudo $command"
      exit 1
    fi
  fi
  say "Debian packages: ${missing[*]}"
  "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update >>$log 2>&1 || fail "apt-get update failed, see $log"
  # shellcheck disable=SC2086 # the command is a list of words
  "${become[@]}" env DEBIAN_FRONTEND=noninteractive $command >>$log 2>&1 || fail "'$command' failed, see $log"
}
: >$log
if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
  install_debian_packages
elif ! command -v gcc >/dev/null; then
  fail "this is not Debian: install a C compiler, Python's headers and libgmp's headers, then run 'make setup' again"
fi

# --- 3. A Python of at least 3.11 ------------------------------------------------------------------------------------
python=
for candidate in ${PYTHON:-} python3 python3.12 python3.11; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$(command -v "$candidate")
    break
  fi
done
[ -n "$python" ] || fail "Python 3.11 or newer is needed; set PYTHON to one"

# --- 4. The environment and its pinned packages ----------------------------------------------------------------------
if [ -e $unfinished ] || ! $venv/bin/python -m pip --version >/dev/null 2>&1; then
  say "Environment: $venv ($("$python" --version))"
  "$python" -m venv --clear $venv >>$log 2>&1 || fail "'$python -m venv' failed, see $log"
fi
touch $unfinished

install_packages() { # every line of constraints.txt; --no-deps because the list is complete, `pip check` proves it
  local total count=0 line
  total=$(grep -c '==' constraints.txt)
  $venv/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off --no-deps -r constraints.txt 2>&1 |
    while IFS= read -r line; do
      printf '%s\n' "$line" >>$log
      case $line in
        "Requirement already satisfied: "*) count=$((count + 1)) line=${line#*: } line=${line%% *} ;;
        Collecting* | Processing*) count=$((count + 1)) ;;
        "Installing collected"*) line="installing" ;;
        *) continue ;;
      esac
      line=${line%% (from*}
      line=${line##*[ /]}
      if [ -t 1 ]; then
        printf '\r  [%3d/%3d] %-60.60s' "$count" "$total" "$line"
      elif [ "$line" != installing ] && [ $((count % 20 * (total - count))) -eq 0 ]; then
        printf '  [%3d/%3d] %s\n' "$count" "$total" "$line"
      fi
    done
  local result=${PIPESTATUS[0]}
  [ ! -t 1 ] || printf '\r%-75s\r' ''
  return "$result"
}
say "Python packages: $(grep -c '==' constraints.txt), pinned in constraints.txt"
install_packages || { tail -n 15 $log >&2; fail "pip could not install them (offline? then it works the next time); all of it is in $log"; }
$venv/bin/python -m pip install --disable-pip-version-check --quiet --no-input --no-deps --no-build-isolation -e . >>$log 2>&1 ||
  { tail -n 15 $log >&2; fail "heddle itself could not be installed, see $log"; }
$venv/bin/python -m pip check >>$log 2>&1 || { tail -n 5 $log >&2; fail "constraints.txt is not complete"; }
$venv/bin/heddle --version >>$log 2>&1 || { tail -n 5 $log >&2; fail "heddle does not start"; }
rm -f $unfinished

# --- 5. Job runtimes: wasm, JavaScript, Python -----------------------------------------------------------------------
if [ -f node/processor/runtimes/build.py ]; then
  say "Job runtimes: JavaScript and Python compiled to WebAssembly"
  $venv/bin/python -m node.processor.runtimes.build || fail "the job runtimes could not be built"
fi

wanted >$stamp
say "Set up in $((SECONDS - started)) s. Next: 'make demo', or '$venv/bin/heddle --help'."
