;; storage.set with a new 4-byte key and a value of 60,000 bytes, for ever.
(module
  (import "heddle" "request" (func $request (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "storage.set")
  (func (export "_start") (local $n i32)
    (i32.store (i32.const 64) (i32.const 4))
    (loop $again
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (i32.store (i32.const 68) (local.get $n))
      (drop (call $request (i32.const 0) (i32.const 11) (i32.const 64) (i32.const 60008)))
      (br $again))))
