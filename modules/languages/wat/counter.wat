;; A counter that keeps its state when its code changes, by hand. What it exports is written in wit/. By the canonical ABI a text or
;; list is its address and its length; what does not fit into one number is returned in memory, at the offsets written here.
(module
  (memory (export "memory") 1)

  ;; Memory, from the bottom:
  ;;    0  the result area
  ;;   64  texts
  ;; 1024  the note
  ;;       the arena, from the end of the note: arguments and results of one call
  (data (i32.const 64) "hello, ")
  (data (i32.const 72) "!")
  (data (i32.const 80) "a note is not empty")
  (data (i32.const 112) "states of 1.x can be read, no others")
  (data (i32.const 160) "this is no state of counter 1")
  ;; The parts of a state in which nothing varies.
  (data (i32.const 192) "\a2\65count")
  (data (i32.const 208) "\64note")
  (global $note-at i32 (i32.const 1024))

  ;; The state. Without a note its length is -1.
  (global $count (mut i64) (i64.const 0))
  (global $note-length (mut i32) (i32.const -1))

  ;; The end of what is in the arena.
  (global $top (mut i32) (i32.const 1024))

  ;; ---- Memory

  ;; The host asks for memory for the arguments of a call. It lives until that call returns: nothing is freed one by one.
  (func $allocate (export "cabi_realloc")
    (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at
      (i32.and
        (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (global.set $top (i32.add (local.get $at) (local.get $size)))
    ;; One byte more: a reader may look ahead.
    (call $reserve (i32.add (global.get $top) (i32.const 1)))
    (memory.copy (local.get $at) (local.get $old) (local.get $old-size))
    (local.get $at))

  ;; Makes memory reach up to here, or traps.
  (func $reserve (param $end i32)
    (local $pages i32)
    (local.set $pages
      (i32.sub (i32.shr_u (i32.add (local.get $end) (i32.const 65535)) (i32.const 16)) (memory.size)))
    (if (i32.gt_s (local.get $pages) (i32.const 0))
      (then (if (i32.lt_s (memory.grow (local.get $pages)) (i32.const 0)) (then (unreachable))))))

  ;; Every call ends with this: the arena is empty, though its bytes stay until the next call.
  (func $result (result i32)
    (global.set $top (i32.add (global.get $note-at) (select (global.get $note-length) (i32.const 0) (call $has-note))))
    (i32.const 0))

  (func $has-note (result i32)
    (i32.ge_s (global.get $note-length) (i32.const 0)))

  ;; The note becomes these bytes, which may lie in the arena: what comes after the note there is gone.
  (func $set-note (param $at i32) (param $length i32)
    (memory.copy (global.get $note-at) (local.get $at) (local.get $length))
    (global.set $note-length (local.get $length)))

  ;; An address and a length at an offset of the result area.
  (func $put (param $offset i32) (param $at i32) (param $length i32)
    (i32.store (local.get $offset) (local.get $at))
    (i32.store offset=4 (local.get $offset) (local.get $length)))

  ;; A result<_, string>.
  (func $ok (result i32)
    (i32.store8 (i32.const 0) (i32.const 0))
    (call $result))

  (func $error (param $at i32) (param $length i32) (result i32)
    (i32.store8 (i32.const 0) (i32.const 1))
    (call $put (i32.const 4) (local.get $at) (local.get $length))
    (call $result))

  ;; Appends bytes to the arena.
  (func $append (param $at i32) (param $length i32)
    (memory.copy
      (call $allocate (i32.const 0) (i32.const 0) (i32.const 1) (local.get $length))
      (local.get $at) (local.get $length)))

  ;; ---- interface counter

  (func (export "example:app/counter#increment") (param $by i64) (result i64)
    (global.set $count (i64.add (global.get $count) (local.get $by)))
    (global.get $count))

  (func (export "example:app/counter#get") (result i64)
    (global.get $count))

  (func (export "example:app/counter#greet") (param $name i32) (param $length i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $top))
    (call $append (i32.const 64) (i32.const 7))
    (call $append (local.get $name) (local.get $length))
    (call $append (i32.const 72) (i32.const 1))
    (call $put (i32.const 0) (local.get $at) (i32.sub (global.get $top) (local.get $at)))
    (call $result))

  ;; A record: count at 0, even at 8, half at 16, note at 24 (whether there is one) and 28.
  (func (export "example:app/counter#summarize") (result i32)
    (i64.store (i32.const 0) (global.get $count))
    (i32.store8 (i32.const 8) (i64.eqz (i64.and (global.get $count) (i64.const 1))))
    (f64.store (i32.const 16) (f64.div (f64.convert_i64_s (global.get $count)) (f64.const 2)))
    (i32.store8 (i32.const 24) (call $has-note))
    (call $put (i32.const 28) (global.get $note-at) (global.get $note-length))
    (call $result))

  ;; A variant: its case, and what any case may carry: a number, or an address (as i64) and a length.
  (func (export "example:app/counter#take") (param $case i32) (param $number i64) (param $length i32) (result i32)
    (block $clear
      (block $note
        (block $set
          (block $add
            (br_table $add $set $note $clear (local.get $case)))
          (global.set $count (i64.add (global.get $count) (local.get $number)))
          (return (call $ok)))
        (global.set $count (local.get $number))
        (return (call $ok)))
      (if (i32.eqz (local.get $length))
        (then (return (call $error (i32.const 80) (i32.const 19)))))
      (call $set-note (i32.wrap_i64 (local.get $number)) (local.get $length))
      (return (call $ok)))
    (global.set $count (i64.const 0))
    (global.set $note-length (i32.const -1))
    (call $ok))

  (func (export "example:app/counter#mirror")
    (param $small i32) (param $signed i32) (param $medium i32) (param $large i64)
    (param $single f32) (param $double f64) (param $letter i32) (param $flag i32)
    (result i32)
    (i32.store8 (i32.const 0) (local.get $small))
    (i32.store16 (i32.const 2) (local.get $signed))
    (i32.store (i32.const 4) (local.get $medium))
    (i64.store (i32.const 8) (local.get $large))
    (f32.store (i32.const 16) (local.get $single))
    (f64.store (i32.const 24) (local.get $double))
    (i32.store (i32.const 32) (local.get $letter))
    (i32.store8 (i32.const 36) (local.get $flag))
    (call $result))

  (func (export "example:app/counter#echo") (param $bytes i32) (param $length i32) (result i32)
    (call $put (i32.const 0) (local.get $bytes) (local.get $length))
    (call $result))

  (func (export "example:app/counter#grow") (param $length i32)
    (local $place i32)
    (call $reserve (i32.add (global.get $note-at) (local.get $length)))
    (global.set $note-length (local.get $length))
    (loop $next
      (if (i32.lt_u (local.get $place) (local.get $length))
        (then
          (i32.store8
            (i32.add (global.get $note-at) (local.get $place))
            (i32.add (i32.const 97 (; a ;)) (i32.rem_u (local.get $place) (i32.const 26))))
          (local.set $place (i32.add (local.get $place) (i32.const 1)))
          (br $next))))
    (drop (call $result)))

  (func (export "example:app/counter#fail")
    (unreachable))

  (func (export "example:app/counter#spin")
    (loop $ever (br $ever)))

  ;; ---- interface health: asked before a version gets calls

  (func (export "wasmhot:module/health@0.1.0#check") (result i32)
    (call $ok))

  ;; ---- interface lifecycle: the old version saves; the new one migrates

  ;; The state is one CBOR map, {"count": integer, "note": text or null}, which every language can read.
  (func (export "wasmhot:module/lifecycle@0.1.0#save")
    (param $from i32) (param $from-length i32) (param $to i32) (param $to-length i32)
    (param $direction i32) (param $extra i32) (param $extra-length i32)
    (result i32)
    (local $at i32)
    (local.set $at (global.get $top))
    (call $append (i32.const 192) (i32.const 7))
    (if (i64.lt_s (global.get $count) (i64.const 0))
      (then (call $append-head (i32.const 1) (i64.sub (i64.const -1) (global.get $count))))
      (else (call $append-head (i32.const 0) (global.get $count))))
    (call $append (i32.const 208) (i32.const 5))
    (if (call $has-note)
      (then
        (call $append-head (i32.const 3) (i64.extend_i32_u (global.get $note-length)))
        (call $append (global.get $note-at) (global.get $note-length)))
      (else (call $append-byte (i32.const 0xf6 (; null ;)))))
    (i32.store8 (i32.const 0) (i32.const 0))
    (call $put (i32.const 4) (local.get $at) (i32.sub (global.get $top) (local.get $at)))
    (call $result))

  (func $append-byte (param $byte i32)
    (i32.store8 (call $allocate (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1)) (local.get $byte)))

  ;; The first byte of a value has its type and says how long the number is that follows: always 8 bytes here.
  (func $append-head (param $type i32) (param $number i64)
    (local $shift i64)
    (call $append-byte (i32.or (i32.shl (local.get $type) (i32.const 5)) (i32.const 27)))
    (local.set $shift (i64.const 56))
    (loop $digit
      (call $append-byte (i32.wrap_i64 (i64.shr_u (local.get $number) (local.get $shift))))
      (local.set $shift (i64.sub (local.get $shift) (i64.const 8)))
      (br_if $digit (i64.ge_s (local.get $shift) (i64.const 0)))))

  (func (export "wasmhot:module/lifecycle@0.1.0#migrate")
    (param $from i32) (param $from-length i32) (param $to i32) (param $to-length i32)
    (param $direction i32) (param $extra i32) (param $extra-length i32)
    (param $state i32) (param $state-length i32)
    (result i32)
    (local $left i64) (local $key i32) (local $seen i32) (local $count i64) (local $note i32) (local $note-length i32)
    ;; From "1."? On a downgrade (1) the newer version has written what this one reads.
    (if (i32.and
          (i32.ne (local.get $direction) (i32.const 1))
          (i32.or
            (i32.lt_u (local.get $from-length) (i32.const 2))
            (i32.ne (i32.load16_u align=1 (local.get $from)) (i32.const 0x2e31))))
      (then (return (call $error (i32.const 112) (i32.const 36)))))
    (global.set $at (local.get $state))
    (global.set $end (i32.add (local.get $state) (local.get $state-length)))
    (global.set $good (i32.const 1))
    (local.set $left (call $head (i32.const 5)))
    (block $all
      (loop $part
        (br_if $all (i64.eqz (local.get $left)))
        (br_if $all (i32.eqz (global.get $good)))
        (local.set $left (i64.sub (local.get $left) (i64.const 1)))
        (local.set $key (call $text))
        (if (call $is (local.get $key) (i32.const 194) (i32.const 5))
          (then
            (local.set $count (call $integer))
            (local.set $seen (i32.or (local.get $seen) (i32.const 1))))
          (else (if (call $is (local.get $key) (i32.const 209) (i32.const 4))
            (then
              (local.set $seen (i32.or (local.get $seen) (i32.const 2)))
              (if (i32.eq (call $peek) (i32.const 0xf6))
                (then
                  (drop (call $skip (i64.const 1)))
                  (local.set $note-length (i32.const -1)))
                (else
                  (local.set $note (call $text))
                  (local.set $note-length (i32.sub (global.get $at) (local.get $note))))))
            (else (global.set $good (i32.const 0))))))
        (br $part)))
    (if (i32.eqz
          (i32.and
            (i32.and (global.get $good) (i32.eq (local.get $seen) (i32.const 3)))
            (i32.eq (global.get $at) (global.get $end))))
      (then (return (call $error (i32.const 160) (i32.const 29)))))
    (global.set $count (local.get $count))
    (if (i32.ge_s (local.get $note-length) (i32.const 0))
      (then (call $set-note (local.get $note) (local.get $note-length)))
      (else (global.set $note-length (i32.const -1))))
    (call $ok))

  ;; What is being read. After the first fault it is not good any more.
  (global $at (mut i32) (i32.const 0))
  (global $end (mut i32) (i32.const 0))
  (global $good (mut i32) (i32.const 1))

  ;; Where these bytes begin, which are skipped.
  (func $skip (param $length i64) (result i32)
    (local $begin i32)
    (local.set $begin (global.get $at))
    (if (i64.gt_u (local.get $length) (i64.extend_i32_u (i32.sub (global.get $end) (global.get $at))))
      (then (global.set $good (i32.const 0)))
      (else (global.set $at (i32.add (global.get $at) (i32.wrap_i64 (local.get $length))))))
    (local.get $begin))

  (func $peek (result i32)
    (if (result i32) (i32.lt_u (global.get $at) (global.get $end))
      (then (i32.load8_u (global.get $at)))
      (else (i32.const 0))))

  ;; The number in a head of this type.
  (func $head (param $type i32) (result i64)
    (local $first i32) (local $left i32) (local $number i64)
    (local.set $first (call $peek))
    (drop (call $skip (i64.const 1)))
    (if (i32.or
          (i32.ne (i32.shr_u (local.get $first) (i32.const 5)) (local.get $type))
          (i32.gt_u (i32.and (local.get $first) (i32.const 31)) (i32.const 27)))
      (then (global.set $good (i32.const 0))))
    (local.set $left (i32.and (local.get $first) (i32.const 31)))
    (if (i32.lt_u (local.get $left) (i32.const 24))
      (then (return (i64.extend_i32_u (local.get $left)))))
    (local.set $left (i32.shl (i32.const 1) (i32.sub (local.get $left) (i32.const 24))))
    (loop $digit
      (local.set $number
        (i64.or (i64.shl (local.get $number) (i64.const 8)) (i64.extend_i32_u (call $peek))))
      (drop (call $skip (i64.const 1)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $digit (local.get $left)))
    (local.get $number))

  (func $integer (result i64)
    (local $negative i32) (local $number i64)
    (local.set $negative (i32.eq (i32.shr_u (call $peek) (i32.const 5)) (i32.const 1)))
    (local.set $number (call $head (local.get $negative)))
    (if (i64.lt_s (local.get $number) (i64.const 0)) (then (global.set $good (i32.const 0))))
    (select (i64.sub (i64.const -1) (local.get $number)) (local.get $number) (local.get $negative)))

  ;; Where a text begins; it ends at $at.
  (func $text (result i32)
    (local $begin i32)
    (local.set $begin (call $skip (call $head (i32.const 3))))
    (call $utf8 (local.get $begin) (global.get $at))
    (local.get $begin))

  ;; Whether the text that begins here and ends at $at is this one.
  (func $is (param $text i32) (param $other i32) (param $length i32) (result i32)
    (if (i32.ne (i32.sub (global.get $at) (local.get $text)) (local.get $length)) (then (return (i32.const 0))))
    (loop $letter
      (local.set $length (i32.sub (local.get $length) (i32.const 1)))
      (if (i32.ne
            (i32.load8_u (i32.add (local.get $text) (local.get $length)))
            (i32.load8_u (i32.add (local.get $other) (local.get $length))))
        (then (return (i32.const 0))))
      (br_if $letter (local.get $length)))
    (i32.const 1))

  ;; Not good if these bytes are not UTF-8. After the first byte of a letter come as many as it says, each from 0x80 to 0xbf; of the
  ;; second one only some are right after 0xe0, 0xed, 0xf0 and 0xf4.
  (func $utf8 (param $at i32) (param $end i32)
    (local $first i32) (local $more i32) (local $low i32) (local $high i32) (local $byte i32)
    (loop $letter
      (if (i32.ge_u (local.get $at) (local.get $end)) (then (return)))
      (local.set $first (i32.load8_u (local.get $at)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $letter (i32.lt_u (local.get $first) (i32.const 0x80)))
      (if (i32.or (i32.lt_u (local.get $first) (i32.const 0xc2)) (i32.gt_u (local.get $first) (i32.const 0xf4)))
        (then (global.set $good (i32.const 0)) (return)))
      (local.set $more
        (i32.add
          (i32.const 1)
          (i32.add (i32.ge_u (local.get $first) (i32.const 0xe0)) (i32.ge_u (local.get $first) (i32.const 0xf0)))))
      (local.set $low (i32.const 0x80))
      (local.set $high (i32.const 0xbf))
      (if (i32.eq (local.get $first) (i32.const 0xe0)) (then (local.set $low (i32.const 0xa0))))
      (if (i32.eq (local.get $first) (i32.const 0xed)) (then (local.set $high (i32.const 0x9f))))
      (if (i32.eq (local.get $first) (i32.const 0xf0)) (then (local.set $low (i32.const 0x90))))
      (if (i32.eq (local.get $first) (i32.const 0xf4)) (then (local.set $high (i32.const 0x8f))))
      (loop $next
        (local.set $byte (select (i32.load8_u (local.get $at)) (i32.const 0) (i32.lt_u (local.get $at) (local.get $end))))
        (if (i32.or (i32.lt_u (local.get $byte) (local.get $low)) (i32.gt_u (local.get $byte) (local.get $high)))
          (then (global.set $good (i32.const 0)) (return)))
        (local.set $low (i32.const 0x80))
        (local.set $high (i32.const 0xbf))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $more (i32.sub (local.get $more) (i32.const 1)))
        (br_if $next (local.get $more)))
      (br $letter))))
