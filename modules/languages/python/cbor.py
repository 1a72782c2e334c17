"""The state as bytes: one CBOR map, {"count": integer, "note": text or null}, which every language can read."""

UNSIGNED, NEGATIVE, TEXT, MAP, NULL = 0, 1, 3, 5, 0xF6


def encode(state: dict) -> bytes:
    parts = [_head(MAP, len(state))]
    for key, value in state.items():
        parts += [_text(key), _value(value)]
    return b"".join(parts)


def decode(data: bytes) -> dict:
    """The map in the bytes, or a ValueError."""
    reader = _Reader(data)
    state = {reader.text(): reader.value() for _ in range(reader.head(MAP))}
    if reader.at != len(data):
        raise ValueError("bytes are left over")
    return state


def _value(value: int | str | None) -> bytes:
    if value is None:
        return bytes([NULL])
    if isinstance(value, str):
        return _text(value)
    return _head(UNSIGNED, value) if value >= 0 else _head(NEGATIVE, -1 - value)


def _text(value: str) -> bytes:
    data = value.encode()
    return _head(TEXT, len(data)) + data


def _head(kind: int, number: int) -> bytes:
    """The first byte of a value has its type and says how long the number is that follows: always 8 bytes here."""
    return bytes([kind << 5 | 27]) + number.to_bytes(8)


class _Reader:
    def __init__(self, data: bytes):
        self.data = data
        self.at = 0

    def take(self, length: int) -> bytes:
        if length > len(self.data) - self.at:
            raise ValueError("it ends too early")
        self.at += length
        return self.data[self.at - length : self.at]

    def head(self, kind: int) -> int:
        """The number in a head of this type."""
        first = self.take(1)[0]
        length = first & 31
        if first >> 5 != kind or length > 27:
            raise ValueError(f"unexpected byte {first}")
        return length if length < 24 else int.from_bytes(self.take(1 << length - 24))

    def text(self) -> str:
        return self.take(self.head(TEXT)).decode()

    def value(self) -> int | str | None:
        first = self.take(1)[0]
        if first == NULL:
            return None
        self.at -= 1
        if first >> 5 == TEXT:
            return self.text()
        if first >> 5 == NEGATIVE:
            return -1 - self.head(NEGATIVE)
        return self.head(UNSIGNED)
