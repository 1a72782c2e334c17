"""A counter that keeps its state when its code changes. What it exports is written in wit/."""

import cbor
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.counter import Scalars, Step, Step_Add, Step_Clear, Step_Note, Step_Set, Summary
from wit_world.exports.lifecycle import Change, Direction

EMPTY = {"count": 0, "note": None}
state = dict(EMPTY)


class Counter(exports.Counter):
    def increment(self, by: int) -> int:
        state["count"] = wrapped(state["count"] + by)
        return state["count"]

    def get(self) -> int:
        return state["count"]

    def greet(self, name: str) -> str:
        return f"hello, {name}!"

    def summarize(self) -> Summary:
        count = state["count"]
        return Summary(count, count % 2 == 0, count / 2, state["note"])

    def take(self, step: Step) -> None:
        match step:
            case Step_Add(by):
                state["count"] = wrapped(state["count"] + by)
            case Step_Set(to):
                state["count"] = to
            case Step_Note(""):
                raise Err("a note is not empty")
            case Step_Note(note):
                state["note"] = note
            case Step_Clear():
                state.update(EMPTY)

    def mirror(self, scalars: Scalars) -> Scalars:
        return scalars

    def echo(self, bytes: bytes) -> bytes:
        return bytes

    def grow(self, length: int) -> None:
        alphabet = "abcdefghijklmnopqrstuvwxyz"
        state["note"] = (alphabet * (length // 26 + 1))[:length]

    def fail(self) -> None:
        raise RuntimeError("as asked")

    def spin(self) -> None:
        while True:
            pass


def wrapped(number: int) -> int:
    """Python's integers have no end, those of WIT do."""
    return (number + 2**63) % 2**64 - 2**63


class Lifecycle(exports.Lifecycle):
    """What makes the module stateful: the old version saves, the new one migrates."""

    def save(self, change: Change) -> bytes:
        return cbor.encode(state)

    def migrate(self, change: Change, data: bytes) -> None:
        # On a downgrade the newer version has written what this one reads.
        if not change.from_.startswith("1.") and change.direction != Direction.DOWNGRADE:
            raise Err(f"states of 1.x can be read, not of {change.from_}")
        try:
            state.update(checked(cbor.decode(data)))
        except ValueError as error:
            raise Err(f"this is no state of {change.from_}: {error}")


def checked(new: dict) -> dict:
    if new.keys() != EMPTY.keys() or not isinstance(new["count"], int) or isinstance(new["note"], int):
        raise ValueError("it has other parts")
    if new["count"] != wrapped(new["count"]):
        raise ValueError("the number is too large")
    return new


class Health(exports.Health):
    def check(self) -> None:
        """Asked before a version gets calls."""
