;; Version 2 of counter.wat: its state has one field more, how often it was incremented: 16 bytes, both little endian.
;; It reads the state of version 1, and on the way back writes it.
(module
  (@custom "wasmhot:module" "{\"name\":\"wat-counter\",\"version\":\"2.0.0\"}")
  (@custom "wasmhot:state"
    "{\"media-type\":\"application/octet-stream\",\"schema\":\"count: s64, times: s64\",\"reads\":[\"^2\",\"^1\"],\"writes\":[\"^1\"]}")

  (memory (export "memory") 1)

  ;; Memory, from the bottom: 0 result area, 16 the count, 24 how often, 64 texts of errors, 1024 the arena.
  (data (i32.const 64) "this is no state of wat-counter 1 or 2")
  (global $text-length i32 (i32.const 38))
  (global $arena i32 (i32.const 1024))
  (global $top (mut i32) (i32.const 1024))

  ;; As in counter.wat: arguments live until their call returns.
  (func (export "cabi_realloc")
    (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at
      (i32.and
        (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (global.set $top (i32.add (local.get $at) (local.get $size)))
    (call $reserve (global.get $top))
    (memory.copy (local.get $at) (local.get $old) (local.get $old-size))
    (local.get $at))

  (func $reserve (param $end i32)
    (loop $again
      (if (i32.gt_u (local.get $end) (i32.mul (memory.size) (i32.const 65536)))
        (then
          (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
          (br $again)))))

  (func $result (param $discriminant i32) (param $pointer i32) (param $length i32) (result i32)
    (i32.store8 (i32.const 0) (local.get $discriminant))
    (i32.store (i32.const 4) (local.get $pointer))
    (i32.store (i32.const 8) (local.get $length))
    (global.set $top (global.get $arena))
    (i32.const 0))

  ;; Whether a version has this major number, given as its digit: `2.…`
  (func $is-major (param $version i32) (param $length i32) (param $digit i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $length) (i32.const 2))
      (then (i32.const 0))
      (else
        (i32.and
          (i32.eq (i32.load8_u (local.get $version)) (local.get $digit))
          (i32.eq (i32.load8_u offset=1 (local.get $version)) (i32.const 0x2e))))))

  ;; For version 1 (0x31 is `1`) the count alone, for any other the whole.
  (func (export "save")
    (param $from i32) (param $from-length i32) (param $to i32) (param $to-length i32)
    (param $direction i32) (param $extra i32) (param $extra-length i32)
    (result i32)
    ;; 0 upgrade, 1 downgrade, 2 restore
    (if (result i32)
      (i32.and
        (i32.eq (local.get $direction) (i32.const 1))
        (call $is-major (local.get $to) (local.get $to-length) (i32.const 0x31)))
      (then (call $result (i32.const 0) (i32.const 16) (i32.const 8)))
      (else (call $result (i32.const 0) (i32.const 16) (i32.const 16)))))

  ;; Goes by who wrote the bytes, and by how many they must be.
  (func (export "migrate")
    (param $from i32) (param $from-length i32) (param $to i32) (param $to-length i32)
    (param $direction i32) (param $extra i32) (param $extra-length i32)
    (param $state i32) (param $state-length i32)
    (result i32)
    (if
      (i32.and
        (i32.eq (local.get $state-length) (i32.const 8))
        (call $is-major (local.get $from) (local.get $from-length) (i32.const 0x31)))
      (then
        (i64.store (i32.const 16) (i64.load align=1 (local.get $state)))
        ;; Version 1 did not count how often.
        (i64.store (i32.const 24) (i64.const 0))
        (return (call $result (i32.const 0) (i32.const 0) (i32.const 0)))))
    (if
      (i32.and
        (i32.eq (local.get $state-length) (i32.const 16))
        (call $is-major (local.get $from) (local.get $from-length) (i32.const 0x32)))
      (then
        (i64.store (i32.const 16) (i64.load align=1 (local.get $state)))
        (i64.store (i32.const 24) (i64.load offset=8 align=1 (local.get $state)))
        (return (call $result (i32.const 0) (i32.const 0) (i32.const 0)))))
    (call $result (i32.const 1) (i32.const 64) (global.get $text-length)))

  (func (export "increment") (param $by i64) (result i64)
    (i64.store (i32.const 24) (i64.add (i64.load (i32.const 24)) (i64.const 1)))
    (i64.store (i32.const 16) (i64.add (i64.load (i32.const 16)) (local.get $by)))
    (i64.load (i32.const 16)))

  (func (export "get") (result i64)
    (i64.load (i32.const 16)))

  ;; New in version 2.
  (func (export "times") (result i64)
    (i64.load (i32.const 24))))
