"""Requests made from the wire contract itself: genuine ones, and each field with hostile values.

So a method or field that is added later is asked for without anyone remembering it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

PROTOS = Path(__file__).parents[1] / "proto" / "document_exchange" / "v1"
UNKNOWN_ID = "01900000-0000-7000-8000-000000000000"
HOSTILE_TEXTS = (
    "",
    UNKNOWN_ID,
    "no-such-thing",
    "../../etc/passwd",
    "' or 1=1 --",
    "\u202e\x00",
    "x" * 5000,
)
HOSTILE_BYTES = (b"", b"\x00\xff", b"{}", b"\x30\x82\xff\xff" + b"x" * 2000)
HOSTILE_NUMBERS = (0, -1, 2**31 - 1, -(2**31))


def methods() -> Iterator[MethodDescriptor]:
    """Every method of every service in the wire contract."""
    for path in sorted(PROTOS.glob("*.proto")):
        module = import_module(f"document_exchange.v1.{path.stem}_pb2")
        for service in module.DESCRIPTOR.services_by_name.values():
            yield from service.methods


def path_of(method: MethodDescriptor) -> str:
    """As gRPC names it: /package.Service/Method."""
    return f"/{method.containing_service.full_name}/{method.name}"


@dataclass(frozen=True)
class Genuine:
    """Values that exist, by the name of the field that takes them."""

    texts: Mapping[str, str]
    blobs: Mapping[str, bytes]

    def request(self, method: MethodDescriptor) -> Message:
        """A request whose identifiers are all genuine."""
        return self._message(method.input_type, depth=0)

    def requests(self, method: MethodDescriptor) -> Iterator[Message]:
        """That one, the empty one, and that one with each field in turn set to each hostile value.

        Fields inside of messages are varied too, lists are of one element.
        """
        yield message_factory.GetMessageClass(method.input_type)()
        genuine = self.request(method)
        yield genuine
        for place in _places(method.input_type):
            for value in _hostile(place[-1]):
                changed = type(genuine)()
                changed.CopyFrom(genuine)
                _set(changed, place, value)
                yield changed

    def _message(self, descriptor: Descriptor, depth: int) -> Message:
        made = message_factory.GetMessageClass(descriptor)()
        for field in descriptor.fields:
            value = self._value(field, depth)
            choice = field.containing_oneof
            if value is not None and (choice is None or made.WhichOneof(choice.name) is None):
                _put(made, field, value)
        return made

    def _value(self, field: FieldDescriptor, depth: int) -> Any:
        if field.message_type is not None:
            return self._message(field.message_type, depth + 1) if depth < 4 else None
        if field.type == FieldDescriptor.TYPE_STRING:
            return self.texts.get(field.name)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self.blobs.get(field.name)
        if field.enum_type is not None:
            return 1
        return None


def _places(
    descriptor: Descriptor, before: tuple[FieldDescriptor, ...] = ()
) -> Iterator[tuple[FieldDescriptor, ...]]:
    for field in descriptor.fields:
        if field.message_type is None:
            yield (*before, field)
        elif len(before) < 3:
            yield from _places(field.message_type, (*before, field))


def _hostile(field: FieldDescriptor) -> tuple[Any, ...]:
    if field.type == FieldDescriptor.TYPE_STRING:
        return HOSTILE_TEXTS
    if field.type == FieldDescriptor.TYPE_BYTES:
        return HOSTILE_BYTES
    if field.type == FieldDescriptor.TYPE_BOOL:
        return (False,)  # true acts for real where it is "approve"
    if field.type in (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_UINT64):
        return (0, 2**31)
    return HOSTILE_NUMBERS


def _set(message: Message, place: tuple[FieldDescriptor, ...], value: Any) -> None:
    target: Any = message
    for field in place[:-1]:
        inner = getattr(target, field.name)
        if field.is_repeated:
            target = inner[0] if len(inner) else inner.add()
        else:
            inner.SetInParent()
            target = inner
    _put(target, place[-1], value)


def _put(message: Message, field: FieldDescriptor, value: Any) -> None:
    if field.is_repeated:
        target = getattr(message, field.name)
        del target[:]
        if isinstance(value, Message):
            target.add().CopyFrom(value)
        else:
            target.append(value)
    elif isinstance(value, Message):
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)
