;; Reads handwritten digits: lines of 64 characters, a pixel each, grey levels 0..9 and a..g. Gives {"digits":"..."}, one
;; for each line. 64 pixels -> 32 hidden units -> 10 digits, in integers; the weights at the end are those that
;; examples/digits/train.py found. `heddle job submit` assembles this text into a module.
(module
  (import "heddle" "request" (func $request (param i32 i32 i32 i32) (result i32)))
  (import "heddle" "reply" (func $reply (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "input")
  (data (i32.const 8) "output")
  (data (i32.const 16) "fail")
  (data (i32.const 24) "progress")
  (data (i32.const 32) "{\"digits\":\"")
  (data (i32.const 48) "\"}")
  (data (i32.const 64) "2 a line is not 64 characters of 0..9 and a..g")
  (data (i32.const 128) "3 the input is longer than 100000 bytes")
  (data (i32.const 176) "100")

  ;; 256: pixels, 64 bytes. 320: hidden units, 32 numbers. 512: weights. 4096: the answers. 20480: the input.
  (global $answers (mut i32) (i32.const 4096))

  (func $output (param $at i32) (param $length i32)
    (drop (call $request (i32.const 8) (i32.const 6) (local.get $at) (local.get $length))))

  (func $fail (param $at i32) (param $length i32)
    (drop (call $request (i32.const 16) (i32.const 4) (local.get $at) (local.get $length)))
    (unreachable))

  ;; The grey level that a character stands for.
  (func $level (param $character i32) (result i32)
    (if (i32.le_u (i32.sub (local.get $character) (i32.const 48)) (i32.const 9))
      (then (return (i32.sub (local.get $character) (i32.const 48)))))
    (if (i32.le_u (i32.sub (local.get $character) (i32.const 97)) (i32.const 6))
      (then (return (i32.sub (local.get $character) (i32.const 87)))))
    (call $fail (i32.const 64) (i32.const 46))
    (i32.const 0))

  ;; bias[unit] + the sum of weight[unit][n] * pixel[n]: weights at 512, biases at 2560.
  (func $hidden (param $unit i32) (result i32)
    (local $n i32) (local $sum i32)
    (local.set $sum (i32.load offset=2560 (i32.shl (local.get $unit) (i32.const 2))))
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (i32.mul
        (i32.load8_s offset=512 (i32.add (i32.shl (local.get $unit) (i32.const 6)) (local.get $n)))
        (i32.load8_u offset=256 (local.get $n)))))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $n) (i32.const 64))))
    (select (local.get $sum) (i32.const 0) (i32.gt_s (local.get $sum) (i32.const 0))))

  ;; The same from the hidden units: weights at 2688, biases at 3008.
  (func $score (param $digit i32) (result i32)
    (local $n i32) (local $sum i32)
    (local.set $sum (i32.load offset=3008 (i32.shl (local.get $digit) (i32.const 2))))
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (i32.mul
        (i32.load8_s offset=2688 (i32.add (i32.shl (local.get $digit) (i32.const 5)) (local.get $n)))
        (i32.load offset=320 (i32.shl (local.get $n) (i32.const 2))))))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $n) (i32.const 32))))
    (local.get $sum))

  ;; The digit with the highest score for the pixels at 256; of equal ones the lowest.
  (func $classify (result i32)
    (local $n i32) (local $best i32) (local $score i32) (local $high i32)
    (loop $units
      (i32.store offset=320 (i32.shl (local.get $n) (i32.const 2)) (call $hidden (local.get $n)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $units (i32.lt_u (local.get $n) (i32.const 32))))
    (local.set $high (i32.const 0x80000000))
    (local.set $n (i32.const 0))
    (loop $digits
      (local.set $score (call $score (local.get $n)))
      (if (i32.gt_s (local.get $score) (local.get $high))
        (then (local.set $high (local.get $score)) (local.set $best (local.get $n))))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $digits (i32.lt_u (local.get $n) (i32.const 10))))
    (local.get $best))

  (func $answer (param $digit i32)
    (i32.store8 (global.get $answers) (i32.add (i32.const 48) (local.get $digit)))
    (global.set $answers (i32.add (global.get $answers) (i32.const 1))))

  (func (export "main")
    (local $at i32) (local $end i32) (local $n i32)
    (local.set $end (call $request (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 0)))
    (if (i32.gt_u (local.get $end) (i32.const 100000)) (then (call $fail (i32.const 128) (i32.const 39))))
    (local.set $end (i32.add (i32.const 20480) (call $reply (i32.const 20480) (i32.const 0) (local.get $end))))
    (local.set $at (i32.const 20480))
    (block $done
      (loop $lines
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $n (i32.const 0))
        (loop $pixels
          (i32.store8 offset=256 (local.get $n) (call $level (i32.load8_u (i32.add (local.get $at) (local.get $n)))))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $pixels (i32.lt_u (local.get $n) (i32.const 64))))
        (if (i32.ne (i32.load8_u (i32.add (local.get $at) (i32.const 64))) (i32.const 10))
          (then (call $fail (i32.const 64) (i32.const 46))))
        (call $answer (call $classify))
        (local.set $at (i32.add (local.get $at) (i32.const 65)))
        (br $lines)))
    (drop (call $request (i32.const 24) (i32.const 8) (i32.const 176) (i32.const 3)))
    (call $output (i32.const 32) (i32.const 11))
    (call $output (i32.const 4096) (i32.sub (global.get $answers) (i32.const 4096)))
    (call $output (i32.const 48) (i32.const 2)))

  (data (i32.const 512)
    "\00\2c\25\2e\3e\e9\f6\12\09\ef\fc\0e\f6\07\28\1c\4c\f0\f0\db\01\d6\23\ee\04\bb\bb\05\2a\e8"
    "\ef\ff\00\03\24\01\25\e7\ad\00\0a\f6\57\49\f2\00\0b\0d\09\18\19\57\20\ff\e8\f8\00\53\e0\f4"
    "\e2\2c\17\22\00\f4\d9\13\df\20\ef\f1\13\ca\0c\19\13\05\08\23\1c\27\10\dc\c3\f1\1c\ff\f7\c3"
    "\01\ca\df\f6\1a\e2\00\cc\08\0a\dc\0c\1f\00\06\ca\d7\f1\23\1c\d6\00\09\12\03\27\2a\e2\dd\c5"
    "\02\15\d0\18\02\e3\e9\e6\00\ea\1d\d0\dc\32\d1\f0\43\c5\e9\15\1b\0b\f8\ca\43\27\1a\25\e1\df"
    "\ee\0f\fc\db\28\21\fc\e9\f8\02\00\bf\28\46\45\ef\04\00\f1\0d\38\f8\02\1b\3a\f4\fc\d1\f6\d7"
    "\de\37\fe\be\ff\e8\ce\09\04\f4\34\f7\00\10\2c\11\1e\f2\ef\bd\ef\de\23\d5\eb\d0\e1\e5\2a\d5"
    "\39\1a\2b\04\e3\f2\fe\04\eb\3b\0f\15\f0\fc\00\f3\de\37\16\f2\13\00\fc\f5\c5\17\e8\04\24\f3"
    "\ea\14\14\27\d6\e1\fc\52\01\da\2a\31\f8\01\40\f5\00\0d\19\ca\24\1f\41\22\26\bd\d7\21\2f\1b"
    "\00\43\0f\10\e2\c1\11\13\0d\03\dd\25\0d\dc\0c\03\d3\fe\00\dc\1d\0c\12\ea\1a\00\0b\fd\b8\e6"
    "\f3\45\ec\f0\ff\de\d3\01\07\08\2b\f2\f5\ec\eb\18\e3\d5\27\cf\00\18\21\0e\fc\3a\eb\15\cd\fa"
    "\1c\f0\3c\4e\db\f4\1d\f5\20\07\fd\47\d2\17\e7\e1\24\0b\c7\1e\f9\ff\00\c1\fc\f7\17\1c\15\00"
    "\d3\0b\dc\d1\e4\ee\3c\fd\e6\32\f9\22\43\2a\06\18\0f\27\33\19\1d\02\1c\40\00\01\1d\1a\ef\03"
    "\04\06\f4\2a\c6\19\f5\25\1b\e4\ff\cd\1e\15\e5\df\df\24\00\1d\ea\ca\0a\d5\16\01\00\e0\e9\e5"
    "\26\df\fe\00\06\d4\0d\e5\f8\0f\2c\ff\14\11\be\09\f0\ea\33\1e\f5\1d\2c\cf\c4\e3\ef\02\00\d7"
    "\ca\f2\05\3f\14\e9\07\e2\f0\f7\0b\48\24\03\00\00\e5\1b\16\10\2a\e0\fe\13\25\f4\16\e6\f8\e8"
    "\00\ff\d3\c9\e0\38\1a\00\cd\14\cc\e6\20\bc\ba\06\20\f7\cc\11\26\07\dd\2d\fe\1e\c6\db\d2\2d"
    "\db\0e\00\f9\e9\05\1e\bd\1d\22\dc\f7\2d\d2\ed\29\f6\e6\f1\df\f8\bb\07\ec\c6\21\00\16\23\32"
    "\1f\11\1c\fa\00\13\35\cc\f5\be\db\00\00\f8\da\f6\ca\04\17\04\00\ce\cc\2a\e6\14\dc\12\00\2b"
    "\dd\28\ee\24\cc\eb\00\e7\e7\12\e0\d9\c2\d5\f9\cc\df\1d\18\28\0b\03\b2\f1\0b\1b\cb\ca\3c\01"
    "\d8\ef\07\f3\de\10\f1\01\00\1f\3f\1d\c5\2f\32\00\08\24\26\e9\0a\f3\54\2b\07\01\32\23\23\11"
    "\0e\f9\00\ff\d3\06\de\fe\29\a7\00\1c\0d\38\3d\0a\2b\29\0e\dd\2b\2d\fa\e5\05\04\b0\23\d3\d8"
    "\1d\25\f9\ce\d7\b7\0a\00\42\e2\13\f2\00\c2\fa\17\1b\1d\0c\00\00\c9\bb\c5\0e\ee\28\22\ff\f9"
    "\1f\f5\d5\f3\e6\11\00\eb\30\d6\05\2c\ff\b0\00\dd\f7\1e\24\d1\17\0e\d9\12\01\12\2b\2d\e4\f7"
    "\10\f3\2b\14\2e\fe\06\e4\03\16\c8\e8\fd\d7\40\03\00\25\eb\e3\cb\c7\28\00\10\0f\16\c8\17\28"
    "\dc\00\0a\18\0f\e6\0d\ce\d5\de\01\cb\0e\fd\e9\d2\f8\cc\00\f7\ce\bc\fd\26\ff\e1\0e\2d\c0\2c"
    "\fb\da\e4\1f\00\cb\0c\03\c1\23\1d\1e\00\07\f6\09\d3\fb\10\fa\00\d5\2d\d4\d7\06\cb\00\fd\d9"
    "\e9\e4\11\dc\ec\04\e2\cc\2a\2e\23\22\0d\ff\f1\2e\cd\15\c3\01\d4\12\00\45\d7\e2\dc\d7\e2\03"
    "\f7\00\0e\ce\e6\e5\fd\d9\07\eb\1d\37\3a\15\e2\2a\26\09\27\1d\d0\20\e8\0a\00\37\e4\f5\3e\11"
    "\f2\00\dc\31\ea\1f\3b\2e\04\10\00\d2\fb\fe\f4\34\df\dc\00\44\b7\0f\c9\25\2f\30\00\f3\f1\1f"
    "\b1\1b\06\0b\00\97\a9\e6\06\e0\f0\09\78\ef\fc\38\16\e4\d6\e0\62\01\0f\20\28\06\e6\ff\00\f2"
    "\fa\13\df\34\04\00\00\e6\37\2d\2e\fb\a9\e5\f7\0e\03\05\29\cd\e4\57\00\f2\d3\28\ed\11\f9\60"
    "\00\4d\e9\df\06\eb\33\e1\d2\3d\22\df\3a\43\29\1e\0a\b6\eb\de\fb\e1\21\f5\00\d0\d4\27\1e\e8"
    "\bd\fb\00\27\13\f3\e3\26\1c\00\00\da\d9\c6\1c\2f\01\fd\00\18\e8\cf\19\ff\f0\c1\00\1b\3d\3a"
    "\16\d8\ee\15\00\da\ca\f2\1e\ec\f5\21\f5\c7\b9\ec\29\08\12\d1\0c\02\cb\17\25\18\f1\de\07\42"
    "\c7\16\16\df\e2\00\00\3f\05\cb\1c\14\03\00\00\ec\eb\13\f5\16\d4\ed\1a\d5\d2\f1\f5\13\e1\04"
    "\06\28\e8\ec\1e\1f\02\da\00\0c\f0\07\c4\f0\d5\fd\22\e7\0f\ee\f8\e8\d0\00\ff\fa\ea\e3\c8\00"
    "\16\00\00\23\dc\d7\13\18\1b\00\00\fd\c7\f4\07\1d\f9\00\fd\f4\15\2a\01\37\c4\00\00\24\09\02"
    "\bf\1b\29\ba\00\d5\25\0d\fa\10\14\bf\00\ec\e2\16\e0\f3\37\24\00\f8\bf\e9\f7\f5\ff\08\00\d8"
    "\10\2a\e9\c7\d4\ff\00\3c\ec\29\d5\f8\15\00\00\17\ed\da\f5\fe\42\00\fc\5a\32\1e\2e\ec\e8\e7"
    "\ff\6e\20\d9\22\1f\fb\f9\00\02\13\c0\cc\26\10\13\00\0d\3b\2a\e9\fa\40\1e\fd\24\f4\fc\e5\18"
    "\f4\ee\91\f7\40\c4\ee\f2\ec\0b\b1\4a\33\ef\ed\e5\15\f0\00\2a\e9\06\0c\25\46\00\03\c8\dd\0f"
    "\0d\21\17\1b\05\f2\fd\f6\ef\1d\d6\ed\00\5d\48\1a\12\d1\03\dc\00\08\1d\cf\c8\00\f4\d5\ee\1e"
    "\2f\df\32\22\ce\2f\f5\ce\d3\e6\da\f0\14\e1\00\f9\fa\ea\1b\0e\e3\00\00\0f\e0\03\da\f9\ff\00"
    "\00\03\cf\07\2c\e6\05\0b\eb\14\f3\05\ff\0e\ee\cc\fe\d6\ff\fc\2a\d0\fe\2a\00\00\00\00\00\00"
    "\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00"
    "\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\02"
    "\1c\28\d4\36\02\ff\fa\06\1c\17\58\dc\d8\1f\7a\e8\dd\eb\13\20\fc\f7\53\fd\25\d5\f9\03\34\fe"
    "\00\21\05\3b\37\4e\0c\00\00\14\11\ef\ed\2d\da\00\00\91\b9\3e\bf\8a\94\14\00\2c\1e\f4\c1\b9"
    "\e6\ed\00\b3\15\e6\0c\de\3d\1b\27\0b\22\f0\18\f2\f1\23\08\ba\d6\f4\e5\33\10\16\00\f7\c7\c6"
    "\2b\fd\42\07\00\de\db\54\eb\f9\d1\00\00\e7\44\02\30\f4\f5\00\01\01\4d\fe\d0\0b\09\dc\00\18"
    "\2c\1a\e1\cd\32\2a\00\d5\2b\dd\14\d7\1d\01\00\29\cf\f5\db\dc\1c\cf\00\fd\1d\12\d4\12\04\16"
    "\00\de\02\df\f6\31\cc\00\00\f4\ec\d1\13\f5\d7\00\00\dc\f8\e8\e2\f9\29\00\00\ee\2e\eb\0d\15"
    "\d1\00\00\d1\32\de\05\08\e5\00\00\e2\1e\fc\e6\e3\17\fa\67\01\31\3b\df\f7\2a\46\d3\d4\12\45"
    "\c8\1c\bd\07\c4\12\49\3f\09\2c\18\f1\00\36\07\08\37\27\eb\00\25\08\28\ed\2f\24\33\f1\f6\ff"
    "\1f\02\e4\d5\be\0b\fc\ed\ef\f8\f0\bc\f3\ee\00\fc\0a\dd\d9\ff\ff\31\ca\1f\1f\d2\07\eb\e1\d3"
    "\06\f8\fe\12\23\06\0f\29\52\1b\e1\c5\1d\05\1e\f4\00\f9\09\fb\53\31\15\00\01\28\e4\2f\ec\d8"
    "\bf\f4\f9\35\13\3d\11\e7\e3\4e\06\22\02\e7\2e\10\60\21\00\02\1a\24\08\be\c0\c6\ec\f2\cd\04"
    "\1f\f0\b1\f2\00\ee\02\eb\e3\ff\38\25\31\16\09\ee\f2\26\df\f4\00\3c\00\d1\3b\f4\15\00\26\02"
    "\1b\10\ef\1d\23\d9\00\03\b0\e3\0c\f2\e4\ee\00\08\18\14\fc\f8\11\28\00\7f\ed\25\05\52\2b\1b"
    "\17\ce\0b\1e\43\22\d6\23\26\1b\36\f9\d8\88\b7\ff\44\0f\1a\d1\ea\e1\b3\00\00\3c\d7\fa\f7\12"
    "\56\00\00\11\ec\d0\23\18\38\ff\fe\e6\fb\04\04\f3\07\96\ff\4b\11\e7\0f\c9\f5\d1\00\f6\20\dd"
    "\28\0a\cc\ff\16\17\07\e0\32\4c\e1\10\2a\08\f6\d4\2d\66\42\10\48\07\3f\0d\22\18\06\29\00\e4"
    "\13\33\fd\1b\2f\00\1d\ee\d9\25\e2\2f\12\23\1e\3b\fc\16\ea\c0\c1\e4\15\e3\d2\dd\f0\fd\0c\10"
    "\00\a1\cb\fc\41\c2\d0\f6\f1\e7\1b\ff\f1\e0\0d\0a\ee\2f\d4\e9\29\db\f7\05\00\f6\e7\cb\18\0d"
    "\04\00\00\47\08\d4\2f\14\f2\00\20\60\24\fa\d8\00\14\3e\02\3d\4f\e7\f8\1a\ee\08\01\e5\d4\d1"
    "\f5\32\2a\29\00\16\0e\2b\fb\07\e3\19\db\2a\cb\39\f0\f5\ea\e7\ea\c8\ee\d4\f8\05\f7\00\00\d9"
    "\e8\34\fd\c0\2a\02\00\f9\e5\2f\28\15\00\00\09\cd\0a\05\f6\23\12\d3\00\e2\bf\fd\32\1b\f1\e5"
    "\00\1a\14\26\c0\e8\de\f4\38\00\00\00\14\00\00\00\fc\ff\ff\ff\c8\ff\ff\ff\f9\ff\ff\ff\0b\00"
    "\00\00\11\00\00\00\1d\00\00\00\0a\00\00\00\d0\ff\ff\ff\d8\ff\ff\ff\28\00\00\00\23\00\00\00"
    "\ed\ff\ff\ff\b9\ff\ff\ff\db\ff\ff\ff\cb\ff\ff\ff\2c\00\00\00\f4\ff\ff\ff\fc\ff\ff\ff\20\00"
    "\00\00\e2\ff\ff\ff\0f\00\00\00\1c\00\00\00\f2\ff\ff\ff\e9\ff\ff\ff\ff\ff\ff\ff\d3\ff\ff\ff"
    "\ee\ff\ff\ff\00\00\00\00\d9\ff\ff\ff\46\00\00\00\f6\0d\e1\c2\bb\40\0c\e6\14\38\c3\0c\d9\15"
    "\ef\e9\cb\cc\cb\3b\e0\00\ec\12\02\fe\9d\ea\d0\f3\0c\10\21\e3\07\0d\1d\0c\c9\27\0a\d7\f5\f7"
    "\12\15\57\f7\0a\ba\dc\d7\09\00\03\e6\d9\ed\14\cd\0d\03\c0\b8\59\e6\c6\15\f5\30\34\0b\0e\ee"
    "\e1\e4\da\fd\af\d7\ed\db\dd\10\e5\00\b8\20\f6\b8\33\1c\c9\e6\fc\fa\08\cf\04\dc\0c\21\f0\cc"
    "\db\ef\44\ee\1e\f5\c3\40\e0\06\ca\f0\26\00\ef\0a\34\bd\15\20\15\eb\4c\45\cc\e8\df\f8\e8\d1"
    "\23\d1\33\02\d1\e7\2d\21\13\c4\21\26\3b\0c\e7\00\eb\05\fd\32\3a\33\13\3e\41\14\02\e7\f3\0f"
    "\ff\1b\de\ce\03\f0\f9\d8\ff\c0\c6\09\ca\de\05\3d\d4\00\fc\da\ea\1d\c8\c3\11\d4\81\07\20\18"
    "\24\10\fc\fa\09\ea\2e\2b\c7\09\34\0f\f9\b1\0a\20\c8\1a\27\00\95\0b\1e\05\d3\de\f4\e1\25\ef"
    "\0a\0f\bb\e1\36\e5\d2\27\cf\02\0d\28\00\c3\fb\e1\1c\e8\0e\eb\dd\00\60\39\fe\f3\e8\de\1a\1f"
    "\ea\05\2f\16\1f\12\23\07\01\e3\d0\c8\de\40\f9\fb\c8\cf\01\3b\fc\13\14\00\8a\38\0f\1b\cb\eb"
    "\cf\23\f6\d3\c8\d9\eb\2d\2a\26\0c\1d\db\ed\11\35\f8\cd\21\fd\ac\ee\c7\ff\27\00\eb\d0\d3\0c"
    "\de\3c\82\1f\08\c8\d2\f1\ff\ff\ea\01\00\00\92\09\00\00\38\03\00\00\7e\ef\ff\ff\45\f9\ff\ff"
    "\b9\23\00\00\e4\29\00\00\d5\36\00\00\e2\de\ff\ff"))
