"""The rows of the table: what is divided by what, and what is wanted of it."""

from dataclasses import dataclass

# Entries of a ledger, upgrades that are measured (host/benches/calls/upgrades/ledger.rs has the same), and what is wanted against Erlang.
SIZES = [(1_000, 50), (100_000, 20), (1_000_000, 5)]


@dataclass
class Row:
    """`ours` and `other` name what was measured; of both `less` is taken away first, where it is named."""

    name: str
    what: str
    ours: str
    other: str | float
    against: str
    # How the ratio is made: ours / other, or other / ours.
    inverse: bool = False
    # `<=` or `>=` and a number; nothing where a figure only stands beside another.
    wanted: tuple | None = None
    less: tuple | None = None

    def values(self, get):
        """Ours and the other, or None where one was not measured."""
        ours = get(self.ours)
        other = get(self.other) if isinstance(self.other, str) else self.other
        if self.less and ours is not None and other is not None:
            # No call is shorter than the clock can tell.
            ours, other = (max(value - (get(name) or 0), 1e3) for value, name in ((ours, self.less[0]), (other, self.less[1])))
        return ours, other

    def ratio(self, get):
        ours, other = self.values(get)
        if ours is None or other is None:
            return None
        above, below = (other, ours) if self.inverse else (ours, other)
        return above / below if below else float(above)

    def worse(self, now, before):
        """How many times as bad as before; what is not measured any more is as bad as can be."""
        if now is None:
            return float("inf")
        larger_is_better = self.wanted is not None and self.wanted[0] == ">="
        above, below = (before, now) if larger_is_better else (now, before)
        return above / below if below else float("inf")

    def cells(self, get):
        """What, ours, compared with, ratio, target, met; None where ours was not measured."""
        ours, other = self.values(get)
        if ours is None:
            return None
        ratio = self.ratio(get)
        target = f"{'≤' if self.wanted[0] == '<=' else '≥'} {self.wanted[1]:,}" if self.wanted else ""
        if isinstance(self.other, str):
            compared = f"{self.against}: {shown(other, unit(self.other))}" if other is not None else f"{self.against}: not measured"
        else:
            compared = self.against
        met = "" if ratio is None or not self.wanted else ("yes" if self.met(ratio) else "**no**")
        return [self.what, shown(ours, unit(self.ours)), compared, number(ratio), target, met]

    def met(self, ratio):
        sign, wanted = self.wanted
        return ratio <= wanted if sign == "<=" else ratio >= wanted


def unit(name):
    if name.startswith(("http.", "crowds.", "erlang.crowd")) or "rate" in name or name.endswith("crowd"):
        return "1/s"
    if name.endswith("resident"):
        return "B"
    return "" if name.endswith("late") else "ns"


def shown(value, of):
    if of == "1/s":
        return f"{value / 1e3:.1f} k/s" if value >= 1e4 else f"{value:.0f} /s"
    if of == "B":
        return f"{value / 2**30:.2f} GiB"
    if of == "":
        return f"{value:.0f}"
    for limit, divisor, name in ((1e3, 1, "ns"), (1e6, 1e3, "µs"), (1e9, 1e6, "ms")):
        if value < limit:
            return f"{value / divisor:.3g} {name}"
    return f"{value / 1e9:.3g} s"


def number(ratio):
    if ratio is None:
        return "–"
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2f}"


def at_most(limit):
    return ("<=", limit)


def at_least(limit):
    return (">=", limit)


def calls():
    for kind, call, wanted in (
        ("single", "`single`: `counter.increment(1)`, one caller", at_most(1.5)),
        ("pool", "`pool`: `tally.add(40, 2)`", None),
        ("keyed", '`keyed`: `rooms.total("kitchen")`', None),
    ):
        ours = f"calls.{kind}.library"
        yield Row(f"call.{kind}", call, ours, f"calls.{kind}.wasmtime-call-async", "Wasmtime, `call_async`", False, wanted)
        yield Row(f"call.{kind}.sync", "the same", ours, f"calls.{kind}.wasmtime-call", "Wasmtime, `call`")
        named = f"calls.{kind}.library-by-name"
        yield Row(f"call.{kind}.named", "the same, by name", named, f"calls.{kind}.wasmtime-call-async", "Wasmtime, `call_async`")
    yield Row(
        "call.erlang", "`single`, one caller", "calls.single.library", "erlang.call", "`gen_server:call`", True, at_least(3)
    )
    yield Row(
        "crowd.erlang", "`single`, eight callers", "crowds.single", "erlang.crowd", "`gen_server:call`", False, at_least(3)
    )


def payloads():
    for size in ("1k", "64k"):
        for of in ("text", "bytes"):
            name = f"payload.{of}-{size}"
            what = f"{size.replace('k', ' KiB')} of {of} there and back"
            yield Row(name, what, f"{name}.library", f"{name}.wasmtime-call-async", "Wasmtime, `call_async`", False, at_most(2))


def nested():
    for of, what in (("scalar", "one number"), ("text-1k", "1 KiB of text"), ("bytes-1k", "1 KiB of bytes")):
        ours = f"nested.{of}.through-the-router"
        what = f"module to module: {what}"
        least = f"nested.{of}.least-of-a-host-call"
        yield Row(f"nested.{of}", what, ours, f"{least}-async", "a minimal host function, `call_async`", False, at_most(1.5))
        yield Row(f"nested.{of}.sync", "the same", ours, least, "a minimal host function, `call`")
        yield Row(f"nested.{of}.fused", "the same", ours, f"nested.{of}.composed-into-one-component", "both composed into one")


def http():
    least = "a loop over `ProxyPre`"
    yield Row("http.call", "HTTP: `POST /call/…` to a `single`", "http.call", "http.constant", "hyper alone, a constant", False, at_least(0.75))
    yield Row("http.call.nobody", "the same", "http.call", "http.nobody", "the host's own 404")
    yield Row("http.kept", "HTTP: wasi:http 0.2, `single`", "http.single", "http.proxy-kept", f"{least}, one instance", False, at_least(1))
    yield Row("http.pool", "HTTP: wasi:http 0.2, `pool`", "http.pool", "http.proxy-fresh", f"{least}, an instance per request", False, at_least(1))
    yield Row("http.fresh", "HTTP: wasi:http 0.2, `pool`, an instance per request", "http.fresh", "http.proxy-fresh", f"{least}, an instance per request", False, at_least(1))


def upgrades():
    for (entries, _), wanted in zip(SIZES, (8, 10, 100)):
        name, what = f"upgrade.{entries}", f"upgrade, {entries:,} entries"
        less = (f"{name}.without", f"erlang.{name}.without")
        yield Row(f"{name}.erlang", f"{what}: longest call", f"{name}.longest", f"erlang.{name}.longest", "Erlang", True, at_least(wanted), less)
        flush = (f"{name}.without-and-flush", f"erlang.{name}.without")
        yield Row(f"{name}.flush", "the same, less one flush of the disk", f"{name}.longest", f"erlang.{name}.longest", "Erlang", True, None, flush)
        yield Row(f"{name}.rate", f"{what}: calls a second meanwhile", f"{name}.rate-during", f"{name}.rate-before", "before", False, at_least(0.5))
        yield Row(f"{name}.plain", f"{what}: all of it", f"{name}.hand-over", f"{name}.plain", "`save` and `migrate` alone", False, at_most(10))


def keys():
    name = "keys.100000"
    what = "upgrade, 100,000 keys"
    yield Row("keys.late", f"{what}: calls answered by the old version after the switch", f"{name}.late", 1.0, "", False, at_most(0))
    yield Row("keys.erlang", f"{what}: longest call", f"{name}.longest", f"erlang.{name}.longest", "Erlang", True, at_least(100))
    yield Row("keys.sweep", f"{what}: swept a second and core", f"{name}.sweep-rate", 1.0, "", False, at_least(50_000))


def memory():
    yield Row("memory.resident", "1,000,000 keys of 100 B, 1,000 called a second: resident", "memory.resident", 2.0**30, "GiB", False, at_most(4))
    yield Row("memory.woken", "waking a key", "memory.woken", "memory.fresh", "Wasmtime: a fresh instance and its call", False, at_most(10))
    yield Row("memory.switch", "upgrade, 1,000,000 keys that sleep: longest call of one that does not", "memory.switch-all", "memory.switch-one", "with one key", False, at_most(2))


def durable():
    yield Row("durable.one", '`durability = "call"`, one caller', "durable.one", "durable.flush", "a flush of the disk")
    yield Row("durable.none", "the same", "durable.one", "durable.none-one", "answered at once")
    yield Row("durable.crowd", '`durability = "call"`, 64 callers', "durable.crowd", "durable.none-crowd", "answered at once")


ROWS = [*calls(), *payloads(), *nested(), *http(), *upgrades(), *keys(), *memory(), *durable()]

# What needs no Erlang, and little time. Of these the last take several threads at once, so that they tell of the machine and of what
# else it does too: nothing fails because of them.
QUICK = {row.name for row in ROWS if row.name.startswith(("call.", "payload.", "nested."))} - {"call.erlang"}
TOLD = {"http.call", "http.call.nobody", "http.fresh", "http.kept", "http.pool", "upgrade.1000.plain"}
QUICK |= TOLD
