;; Asks for the URL that is its input.
(module
  (import "heddle" "request" (func $request (param i32 i32 i32 i32) (result i32)))
  (import "heddle" "reply" (func $reply (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "input")
  (data (i32.const 32) "fetch")
  (data (i32.const 64) "GET ")
  (func (export "_start") (local $length i32)
    (local.set $length (call $request (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 0)))
    (drop (call $reply (i32.const 68) (i32.const 0) (local.get $length)))
    (i32.store16 (i32.add (i32.const 68) (local.get $length)) (i32.const 0x0a0a))
    (drop (call $request (i32.const 32) (i32.const 5) (i32.const 64) (i32.add (i32.const 6) (local.get $length))))))
