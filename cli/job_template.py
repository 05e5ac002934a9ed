"""`heddle job init`: a folder with a job that runs as it is, one for each runtime.

All three count the words of `input.txt`; the WASM one is text that `heddle job submit` assembles, so that no compiler
is needed to begin.
"""

from pathlib import Path

from cli.errors import CliError, Refused

HEDDLE_TOML = """\
# A job of Heddle. `heddle job submit {folder} --watch` runs it; `heddle job result ID` gives what came out.
name = "{name}"
description = "Counts the words of a text"
runtime = "{runtime}"
script = "{script}" # {script_kind}
entrypoint = "main"
input = "input.txt" # a file of this folder; leave it out if there is none
slots = 1 # how many processors run it, 1 to 64
reward = "0.1" # HDL for each slot and execution
duration_ms = 60_000 # the longest an execution may take

[resources]
fuel = 5_000_000_000 # instructions, about
memory_bytes = 268_435_456
storage_bytes = 0
network_requests = 0
output_bytes = 1_048_576

# [capabilities]
# fetch = ["api.example.org"] # hosts that the script may ask: host, host:port or *.domain
# storage = true # files and the key-value store

# [schedule] # once, at once, if left out
# executions = 24 # per slot
# interval_ms = 3_600_000
# start_delay_max_ms = 120_000

# [processors]
# choice = "known" # public (the default), known or personal
# accounts = ["5..."]
# reputation_min_ppm = 0 # public only
"""

INPUT = "the quick brown fox jumps over the lazy dog and the fox runs on\n"

PYTHON = '''\
"""Counts the words of the input. What `main` returns is the result: text and bytes as they are, the rest as JSON."""


def main(heddle):
    words = heddle.input().decode().split()
    counts = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    heddle.log(f"{len(words)} words")
    return {"words": len(words), "distinct": len(counts), "longest": max(counts, key=lambda word: (len(word), word))}
'''

JAVASCRIPT = """\
// Counts the words of the input. What `main` returns is the result: text and bytes as they are, the rest as JSON.
export function main(heddle) {
  const words = heddle.inputText().split(/\\s+/).filter((word) => word);
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  heddle.log(`${words.length} words`);
  const longest = [...counts.keys()].sort((a, b) => a.length - b.length || (a < b ? -1 : 1)).pop();
  return { words: words.length, distinct: counts.size, longest };
}
"""

WAT = """\
;; Counts the words of the input and gives {"words":N}. `heddle job submit` assembles this text into a module.
;;
;; (import "heddle" "request") runs a call - name and body by address and length - and gives the length of its reply;
;; (import "heddle" "reply") copies the reply: address, offset, length. In C the same with heddle.h, see
;; examples/jobs/airports-wasm.
(module
  (import "heddle" "request" (func $request (param i32 i32 i32 i32) (result i32)))
  (import "heddle" "reply" (func $reply (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "input")
  (data (i32.const 16) "output")
  (data (i32.const 32) "{\\"words\\":")

  ;; The digits of a number, written backwards from 96; gives their first address.
  (func $digits (param $number i32) (result i32)
    (local $at i32)
    (local.set $at (i32.const 96))
    (loop $next
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
      (local.set $number (i32.div_u (local.get $number) (i32.const 10)))
      (br_if $next (local.get $number)))
    (local.get $at))

  (func $output (param $at i32) (param $length i32)
    (drop (call $request (i32.const 16) (i32.const 6) (local.get $at) (local.get $length))))

  (func (export "main")
    (local $length i32) (local $at i32) (local $words i32) (local $inside i32) (local $first i32)
    (local.set $length (call $request (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 0)))
    (local.set $length (call $reply (i32.const 1024) (i32.const 0) (local.get $length)))
    (block $end
      (loop $next
        (br_if $end (i32.ge_u (local.get $at) (local.get $length)))
        (if (i32.le_u (i32.load8_u offset=1024 (local.get $at)) (i32.const 32))
          (then (local.set $inside (i32.const 0)))
          (else
            (local.set $words (i32.add (local.get $words) (i32.eqz (local.get $inside))))
            (local.set $inside (i32.const 1))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (call $output (i32.const 32) (i32.const 9))
    (local.set $first (call $digits (local.get $words)))
    (i32.store8 (i32.const 96) (i32.const 125))
    (call $output (local.get $first) (i32.sub (i32.const 97) (local.get $first)))))
"""

TEMPLATES = {
    "wasm": ("main.wat", WAT, "text of a WebAssembly module; submit assembles it. Or a .wasm file"),
    "javascript": ("main.js", JAVASCRIPT, "an ES module"),
    "python": ("main.py", PYTHON, "the standard library is there"),
}
"""Runtime -> its script's name and content, and what the script may be."""


def write_template(folder: Path, runtime: str) -> list[str]:
    """Write a job that runs as it is; its files. Refused if the folder holds anything."""
    if runtime not in TEMPLATES:
        raise Refused(f"runtime: {runtime!r}, allowed are {', '.join(TEMPLATES)}", "leave it out for python")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(f"folder: {folder} exists and is not an empty folder", "choose another name")
    script, content, kind = TEMPLATES[runtime]
    settings = HEDDLE_TOML.format(
        folder=folder, name=folder.resolve().name, runtime=runtime, script=script, script_kind=kind
    )
    files = {"heddle.toml": settings, script: content, "input.txt": INPUT}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)
    except OSError as error:
        raise CliError(f"folder: {error}", "choose a place where you may write") from error
    return list(files)
