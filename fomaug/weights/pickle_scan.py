"""Scan a pickle opcode by opcode before it is loaded; the scan builds no objects and runs no code.

With `weights_only=True`, torch runs no foreign code, but it builds every object that a file describes: a tensor whose
shape has more numbers than the file, a container that contains itself a billion times, an array of any length. This
module interprets the pickle on a stack of descriptions, and rejects content that no checkpoint of weights has.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, Final, NamedTuple

MOST_BYTES: Final = 2**25  # Longest pickle without the numbers of tensors; official ones have less than 1 MB.
_MOST_OPCODES: Final = 400_000  # Most opcodes; an official checkpoint has about 50,000.
_MOST_PARTS: Final = 2_000_000  # Most values in a container, where each reference to a value counts.
_MOST_KEY_PARTS: Final = 1000  # Most values in a key; Python hashes all of them.
_REFUSED_TENSORS: Final = {
    "_rebuild_sparse_tensor": "sparse tensors",
    "_rebuild_sparse_csr_tensor": "sparse tensors",
    "_rebuild_nested_tensor": "nested tensors",
    "_rebuild_qtensor": "quantised tensors",
    "_rebuild_meta_tensor_no_storage": "tensors without numbers",
}
_CALLABLE: Final = {
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_parameter",
    "collections.OrderedDict",
    "collections.Counter",
    "torch.Size",
    "torch.device",
    "_codecs.encode",
    "builtins.set",
    "__builtin__.set",
    "builtins.complex",
    "__builtin__.complex",
}
_ITEM_BYTES: Final = {
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("CharStorage", "ByteStorage", "BoolStorage"), 1),
    "ComplexDoubleStorage": 16,
}


class RefusedPickleError(Exception):
    """A pickle is damaged, or describes content that no checkpoint has; the message completes "FILE ..."."""


class ForeignCodeError(Exception):
    """A pickle names a function or a class that no checkpoint of weights needs."""


@dataclass(frozen=True)
class _Global:
    name: str


class Storage(NamedTuple):
    """The number of items of a storage, and the bytes of an item."""

    items: int
    item_bytes: int


@dataclass
class _Parts:
    """The description of a container, or of the result of a call.

    Attributes:
        size: number of values in it, where each reference to a value counts.
        items: descriptions of the items of a tuple; empty for other containers.
        is_mutable: whether it is mutable, so that it cannot be a key.
    """

    size: int = 1
    items: list[Any] = field(default_factory=list)
    is_mutable: bool = True


_MARK: Final = object()
_CONSTANTS: Final = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES: Final = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_EMPTY: Final = ("EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET")


class Budget:
    """Limits that all pickles of one file share: bytes of storages, bytes of tensors, and opcodes.

    Args:
        file_bytes: size of the file.
    """

    def __init__(self, file_bytes: int) -> None:
        self.storages, self.tensors, self.opcodes = 2 * file_bytes, 4 * file_bytes, _MOST_OPCODES

    def take(self, limit: str, amount: int) -> None:
        """Subtract an amount from a limit.

        Args:
            limit: name of the limit: "storages", "tensors" or "opcodes".
            amount: bytes or opcodes.

        Raises:
            RefusedPickleError: the limit is exceeded.
        """
        left = getattr(self, limit) - amount
        setattr(self, limit, left)
        if left < 0 and limit == "opcodes":
            raise RefusedPickleError(f"has more than {_MOST_OPCODES} instructions; a checkpoint of weights has fewer")
        if left < 0:
            raise RefusedPickleError("describes tensors of more numbers than the file contains")


def scan_pickle(file: IO[bytes], budget: Budget) -> dict[str, Storage]:
    """Scan one pickle; the file's position is then the end of the pickle.

    Args:
        file: open file at the beginning of a pickle.
        budget: limits of the whole file.

    Returns:
        The storages by their keys, in the order in which the pickle first refers to them.

    Raises:
        RefusedPickleError: the pickle is damaged, or describes content that no checkpoint has.
        ForeignCodeError: the pickle names a function or a class that no checkpoint of weights needs.
    """
    scan = _Scan(budget)
    try:
        for opcode, argument, _ in pickletools.genops(file):
            budget.take("opcodes", 1)
            scan.follow(opcode.name, argument)
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise RefusedPickleError(f"is damaged ({str(error)[:80]}); was the download cut short?") from error
    return scan.storages


class _Scan:
    """The state of a scan: a stack of descriptions, the memo and the storages of tensors.

    Args:
        budget: limits of the whole file.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}
        self.steps: dict[str, Callable[[Any], None]] = {
            "MARK": lambda _: self.stack.append(_MARK),
            "POP": lambda _: self.stack.pop(),
            "POP_MARK": lambda _: self._to_mark().clear(),
            "DUP": lambda _: self.stack.append(self.stack[-1]),
            "TUPLE": lambda _: self._push(self._to_mark(), is_mutable=False),
            "LIST": lambda _: self._push(self._to_mark()),
            "DICT": lambda _: self._dict(),
            "GLOBAL": self._global,
            "BINPERSID": lambda _: self._storage(),
            "REDUCE": lambda _: self._reduce(),
            "BUILD": lambda _: self._grow([self.stack.pop()]),
            "APPEND": lambda _: self._grow([self.stack.pop()]),
            "APPENDS": lambda _: self._grow(self._to_mark()),
            "ADDITEMS": lambda _: self._set_items(self._to_mark(), step=1),
            "SETITEM": lambda _: self._set_items([self.stack.pop(-2), self.stack.pop()]),
            "SETITEMS": lambda _: self._set_items(self._to_mark()),
            "MEMOIZE": lambda _: self.memo.update({len(self.memo): self.stack[-1]}),
        }

    def follow(self, name: str, argument: Any) -> None:
        """Apply one opcode to the stack."""
        if name in self.steps:
            self.steps[name](argument)
        elif name in ("PROTO", "FRAME", "STOP"):
            return
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            self._push([self.stack.pop() for _ in range(_TUPLES[name])][::-1], is_mutable=False)
        elif name in _EMPTY:
            self._push([])
        elif name.endswith("PUT"):
            self._remember(argument)
        elif name.endswith("GET"):
            self.stack.append(self.memo[int(argument)])
        elif isinstance(argument, int | float | str | bytes):
            self._plain(name, argument)
        else:
            raise ForeignCodeError(name)

    def _plain(self, name: str, argument: Any) -> None:
        if name in ("INST", "PERSID") or name.startswith("EXT"):
            raise ForeignCodeError(name)
        self.stack.append(argument)

    def _remember(self, index: int | str) -> None:
        # The memo is a list whose length is the largest index, so the index is limited.
        if int(index) > _MOST_OPCODES:
            raise RefusedPickleError(f"is damaged: it has a memo index of {index}")
        self.memo[int(index)] = self.stack[-1]

    def _to_mark(self) -> list[Any]:
        start = len(self.stack) - 1
        while self.stack[start] is not _MARK:
            start -= 1
            if start < 0:
                raise RefusedPickleError("is damaged: a container has no beginning")
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def _push(self, items: list[Any], *, is_mutable: bool = True) -> None:
        value = _Parts(1, [] if is_mutable else items, is_mutable)
        self.stack.append(value)
        self._grow(items)

    def _grow(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, _Parts):
            raise RefusedPickleError("is damaged: it adds an item to a value that is not a container")
        target.size += sum(_size(item) for item in items)
        if target.size > _MOST_PARTS:
            raise RefusedPickleError(
                f"contains a value of more than {_MOST_PARTS} parts, with repetitions; checkpoints of weights have none"
            )

    def _dict(self) -> None:
        items = self._to_mark()
        self._push([])
        self._set_items(items)

    def _set_items(self, items: list[Any], step: int = 2) -> None:
        if any(_size(key) > _MOST_KEY_PARTS for key in items[::step]):
            raise RefusedPickleError(
                f"contains a key of more than {_MOST_KEY_PARTS} parts; keys of checkpoints are strings"
            )
        self._grow(items)

    def _global(self, argument: str) -> None:
        module, _, name = argument.rpartition(" ")
        if module == "torch._utils" and name in _REFUSED_TENSORS:
            raise RefusedPickleError(f"contains {_REFUSED_TENSORS[name]}; weights must be dense tensors")
        is_dtype = module == "torch" and (name in _ITEM_BYTES or name.islower())
        if f"{module}.{name}" not in _CALLABLE and not is_dtype:
            raise ForeignCodeError(argument)
        self.stack.append(_Global(f"{module}.{name}"))

    def _storage(self) -> None:
        """Count the bytes of a storage, which is stored as ("storage", type, key, device, number of items, ...)."""
        identity = self.stack.pop()
        items = identity.items if isinstance(identity, _Parts) else []
        types = (str, _Global, str, str, int)
        if len(items) < 5 or not all(map(isinstance, items, types)) or not _is_count(items[4]):
            raise RefusedPickleError("is damaged: it refers to another object than a storage of a tensor")
        item_bytes = _ITEM_BYTES.get(items[1].name.removeprefix("torch."), 0)
        if not item_bytes:
            raise RefusedPickleError(f"contains tensors of an unknown storage type, {items[1].name}")
        storage = Storage(items[4], item_bytes)
        if items[2] not in self.storages:  # torch uses the first storage of a key for all.
            self.storages[items[2]] = storage
            self.budget.take("storages", storage.items * storage.item_bytes)
        self.stack.append(self.storages[items[2]])

    def _reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or function.name not in _CALLABLE or not isinstance(arguments, _Parts):
            raise ForeignCodeError(str(function)[:80])
        if any(isinstance(item, _Parts) and item.size > _MOST_PARTS for item in arguments.items):
            raise RefusedPickleError(f"contains a call with more than {_MOST_PARTS} parts; checkpoints have none")
        if function.name.startswith("torch._utils._rebuild_tensor"):
            self._tensor(arguments.items)
        self.stack.append(_Parts(arguments.size))

    def _tensor(self, items: list[Any]) -> None:
        """Compare a tensor's shape with its storage, since torch would enlarge a storage that is too small."""
        storage, offset, size, stride = (*items, None, None, None, None)[:4]
        rows = [row.items if isinstance(row, _Parts) else [None] for row in (size, stride)]
        if not isinstance(storage, Storage) or not all(map(_is_count, (offset, *rows[0], *rows[1]))):
            raise RefusedPickleError("is damaged: it contains a tensor without a valid shape")
        if len(rows[0]) != len(rows[1]):
            raise RefusedPickleError("is damaged: a tensor's shape and strides differ in length")
        count = math.prod(rows[0])
        last = offset + sum((n - 1) * step for n, step in zip(*rows, strict=True)) if count else -1
        if count > storage.items or last >= storage.items:
            shape = "x".join(map(str, rows[0]))[:40]
            raise RefusedPickleError(f"describes a tensor of {shape} numbers, but its storage has {storage.items}")
        self.budget.take("tensors", count * storage.item_bytes)


def _size(value: Any) -> int:
    return value.size if isinstance(value, _Parts) else 1


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48
