;; eu-licence-validator: `validate(plate, country)` over a published module of TinyGo, whose WASI is played here.
(component
  (core module $published)
  ;; WASI
  (core module $glue
    (import "published" "memory" (memory $theirs 1))
    (import "published" "_start" (func $start))
    (import "published" "alloc" (func $alloc (param i32) (result i32)))
    (import "published" "dealloc" (func $dealloc (param i32)))
    (import "published" "validate" (func $validate (param i32 i32 i32 i32) (result i32)))
    (start $start)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (call $alloc (local.get 3)))
    (func (export "validate") (param i32 i32 i32 i32) (result i32)
      (call $validate (local.get 0) (local.get 1) (local.get 2) (local.get 3))
      (call $dealloc (local.get 0))
      (call $dealloc (local.get 2))))
  (core instance $published (instantiate $published (with "wasi_snapshot_preview1" (instance $wasi))))
  (core instance $glue (instantiate $glue (with "published" (instance $published))))
  (alias core export $published "memory" (core memory $memory))
  (alias core export $glue "realloc" (core func $realloc))
  (func (export "validate") (param "plate" string) (param "country" string) (result bool)
    (canon lift (core func $glue "validate") (memory $memory) (realloc $realloc))))
