;; A stateful module by hand: a plain core module, which the host wraps into a component when it takes it.
;; The ABI is explained in README.md. The state of this version is its count: 8 bytes, little endian.
(module
  ;; Name and version. Without this section the file name tells them.
  (@custom "wasmhot:module" "{\"name\":\"wat-counter\",\"version\":\"1.0.0\"}")
  ;; Which states it reads, and for which older versions it can write.
  (@custom "wasmhot:state"
    "{\"media-type\":\"application/octet-stream\",\"schema\":\"count: s64\",\"reads\":[\"^1\"],\"writes\":[]}")

  (memory (export "memory") 1)

  ;; Memory, from the bottom:
  ;;    0  the result area: discriminant at 0 (0 ok, 1 err), pointer at 4, length at 8
  ;;   16  the count: also the bytes that `save` gives
  ;;   64  texts of errors
  ;; 1024  the arena: arguments that the host puts here through `cabi_realloc`
  (data (i32.const 64) "this is no state of wat-counter 1")
  (global $text-length i32 (i32.const 33))
  (global $arena i32 (i32.const 1024))
  (global $top (mut i32) (i32.const 1024))

  ;; The host asks for memory for the arguments of a call. What it gets lives until that call returns:
  ;; so nothing is freed one by one, and each call of the lifecycle ends with an empty arena.
  (func (export "cabi_realloc")
    (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    ;; at = top, rounded up to the alignment
    (local.set $at
      (i32.and
        (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (global.set $top (i32.add (local.get $at) (local.get $size)))
    (call $reserve (global.get $top))
    ;; Growing a piece moves it.
    (memory.copy (local.get $at) (local.get $old) (local.get $old-size))
    (local.get $at))

  ;; Makes memory reach up to here, page by page. The host may say no: then there is nothing to do but to trap.
  (func $reserve (param $end i32)
    (loop $again
      (if (i32.gt_u (local.get $end) (i32.mul (memory.size) (i32.const 65536)))
        (then
          (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
          (br $again)))))

  ;; Fills the result area, empties the arena, and gives the address of the area.
  (func $result (param $discriminant i32) (param $pointer i32) (param $length i32) (result i32)
    (i32.store8 (i32.const 0) (local.get $discriminant))
    (i32.store (i32.const 4) (local.get $pointer))
    (i32.store (i32.const 8) (local.get $length))
    (global.set $top (global.get $arena))
    (i32.const 0))

  ;; save: func(change: change) -> result<list<u8>, string>
  (func (export "save")
    (param $from i32) (param $from-length i32) (param $to i32) (param $to-length i32)
    (param $direction i32) (param $extra i32) (param $extra-length i32)
    (result i32)
    (call $result (i32.const 0) (i32.const 16) (i32.const 8)))

  ;; migrate: func(change: change, state: list<u8>) -> result<_, string>
  ;; Whoever wrote the bytes: to be read by this version they must be 8. (On a downgrade the newer version wrote them for this one.)
  (func (export "migrate")
    (param $from i32) (param $from-length i32) (param $to i32) (param $to-length i32)
    (param $direction i32) (param $extra i32) (param $extra-length i32)
    (param $state i32) (param $state-length i32)
    (result i32)
    (if (result i32) (i32.eq (local.get $state-length) (i32.const 8))
      (then
        (i64.store (i32.const 16) (i64.load align=1 (local.get $state)))
        (call $result (i32.const 0) (i32.const 0) (i32.const 0)))
      (else (call $result (i32.const 1) (i32.const 64) (global.get $text-length)))))

  ;; The module's own functions: scalars need no memory.
  (func (export "increment") (param $by i64) (result i64)
    (i64.store (i32.const 16) (i64.add (i64.load (i32.const 16)) (local.get $by)))
    (i64.load (i32.const 16)))

  (func (export "get") (result i64)
    (i64.load (i32.const 16))))
