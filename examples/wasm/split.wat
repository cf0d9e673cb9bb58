;; Splits an amount evenly: of {"cents":1000,"people":3} it makes {"each":333,"left":1}. The input is canonical JSON, keys
;; in order and no white space, so its two numbers are the only digits in it. Built with: wat2wasm split.wat
(module
  (memory (export "memory") 1 1)
  (data (i32.const 0) "{\"each\":")
  (data (i32.const 8) ",\"left\":")
  (global $in (mut i32) (i32.const 0))    ;; where the input is read
  (global $out (mut i32) (i32.const 32))  ;; where the result is written

  ;; alloc gives the place for the input; a call has at most 16 KiB of arguments.
  (func (export "alloc") (param $n i32) (result i32)
    (i32.const 1024))

  (func $digit (result i32) ;; the digit at $in; 10 and more if there is none
    (i32.sub (i32.load8_u (global.get $in)) (i32.const 48)))

  (func $next
    (global.set $in (i32.add (global.get $in) (i32.const 1))))

  ;; number reads the next number of the input.
  (func $number (result i64) (local $n i64)
    (loop $skip
      (if (i32.ge_u (call $digit) (i32.const 10))
        (then (call $next) (br $skip))))
    (loop $read
      (local.set $n (i64.add (i64.mul (local.get $n) (i64.const 10)) (i64.extend_i32_u (call $digit))))
      (call $next)
      (br_if $read (i32.lt_u (call $digit) (i32.const 10))))
    (local.get $n))

  (func $put (param $byte i32)
    (i32.store8 (global.get $out) (local.get $byte))
    (global.set $out (i32.add (global.get $out) (i32.const 1))))

  ;; words writes the eight bytes at $from.
  (func $words (param $from i32)
    (i64.store (global.get $out) (i64.load (local.get $from)))
    (global.set $out (i32.add (global.get $out) (i32.const 8))))

  ;; decimal writes a number, its first digits first.
  (func $decimal (param $n i64)
    (if (i64.ge_u (local.get $n) (i64.const 10))
      (then (call $decimal (i64.div_u (local.get $n) (i64.const 10)))))
    (call $put (i32.add (i32.wrap_i64 (i64.rem_u (local.get $n) (i64.const 10))) (i32.const 48))))

  (func (export "run") (param $at i32) (param $n i32) (result i64) (local $cents i64) (local $people i64)
    (global.set $in (local.get $at))
    (local.set $cents (call $number))
    (local.set $people (call $number))
    (call $words (i32.const 0))
    (call $decimal (i64.div_u (local.get $cents) (local.get $people)))
    (call $words (i32.const 8))
    (call $decimal (i64.rem_u (local.get $cents) (local.get $people)))
    (call $put (i32.const 125))
    ;; the address in the upper 32 bits, the length in the lower ones
    (i64.or (i64.const 0x2000000000) (i64.extend_i32_u (i32.sub (global.get $out) (i32.const 32))))))
