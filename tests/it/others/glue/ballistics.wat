;; tiny-bclibc-wasm: `version()` is a C string in its memory.
(component
  (core module $published)
  (core module $glue
    (import "published" "memory" (memory $theirs 1))
    (import "published" "_initialize" (func $initialize))
    (import "published" "tbw_version" (func $version (result i32)))
    (memory $ours (export "memory") 1)
    (start $initialize)
    (func (export "version") (result i32)
      (local $at i32)
      (local $length i32)
      (local $byte i32)
      (local.set $at (call $version))
      (block $end
        (loop $next
          (local.set $byte (i32.load8_u $theirs (i32.add (local.get $at) (local.get $length))))
          (br_if $end (i32.eqz (local.get $byte)))
          (i32.store8 $ours (i32.add (i32.const 8) (local.get $length)) (local.get $byte))
          (local.set $length (i32.add (local.get $length) (i32.const 1)))
          (br $next)))
      (i32.store $ours (i32.const 0) (i32.const 8))
      (i32.store $ours (i32.const 4) (local.get $length))
      (i32.const 0)))
  (core instance $published (instantiate $published))
  (core instance $glue (instantiate $glue (with "published" (instance $published))))
  (alias core export $glue "memory" (core memory $memory))
  (func (export "version") (result string) (canon lift (core func $glue "version") (memory $memory))))
