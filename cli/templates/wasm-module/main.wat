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
  (data (i32.const 32) "{\"words\":")

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
