"""A CUDA device that needs no GPU: every operation on it has a shape, a dtype and no values.

Torch's fake tensors raise where a program asks for a value of the device: `if tensor.any()`, `.item()`, `.tolist()`,
indices by a bool tensor. They say nothing of copies between host and device, which also make the host wait, so these
are written down here. A build of torch without CUDA refuses some of Python's notation (`x[:, 0]`, `x.to("cuda")`) for
fake tensors, too; it is translated to the operations behind it.
"""

from __future__ import annotations

import copy
import sys
import traceback
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import fomaug.device
from fomaug.animator import Animator
from fomaug.driving import DrivingPool
from fomaug.motion.fit import PoolFrames

aten = torch.ops.aten
CUDA = torch.device("cuda", 0)

# Operations that start no kernel: allocations, and a view that autograd does not know as one.
_FREE = ("aten._unsafe_view", "aten.empty", "aten.new_empty", "aten.detach", "prim.device", "aten.lift")


@dataclass
class Traffic:
    """What passed between host and device, each with the line of fomaug that caused it.

    Attributes:
        waits: reads and copies for which the host waits.
        sends: copies to the device for which it does not wait.
        readbacks: copies from the device for which it does not wait.
        launches: operations that start a kernel, counted by name.
    """

    waits: list[str] = field(default_factory=list)
    sends: list[str] = field(default_factory=list)
    readbacks: list[str] = field(default_factory=list)
    launches: Counter[str] = field(default_factory=Counter)


class FakeCuda:
    """Context in which "cuda" is the fake device."""

    def __init__(self) -> None:
        self.traffic = Traffic()
        self._context = ExitStack()

    def __enter__(self) -> FakeCuda:
        fomaug.device.forget_constants()
        self._context.callback(fomaug.device.forget_constants)
        for name, substitute in (
            ("_pinned", lambda tensor, device: tensor),
            ("_record", lambda device: _Event(self)),
            ("_synchronize", lambda device: self.traffic.waits.append(_place())),
        ):
            self._context.enter_context(mock.patch.object(fomaug.device, name, substitute))
        for mode in (FakeTensorMode(allow_non_fake_inputs=True), _Notation(self), _Dispatch(self)):
            self._context.enter_context(mode)
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    def watch(self) -> Traffic:
        """Begin new notes."""
        self.traffic = Traffic()
        return self.traffic

    def animator(self, model: Animator, dtype: torch.dtype) -> Animator:
        """Make a copy of a model on the fake device."""
        copied = copy.deepcopy(model)
        for module in copied.modules():
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        kind = dtype if tensor.is_floating_point() else tensor.dtype
                        made = torch.empty(tensor.shape, dtype=kind, device=CUDA)
                        is_parameter = isinstance(tensor, nn.Parameter)
                        tensors[name] = nn.Parameter(made, requires_grad=False) if is_parameter else made
        return copied

    def load(self, pool: DrivingPool, frames: PoolFrames) -> None:
        """Put the frames of a pool, which were gathered outside of this context, on the fake device, inside of it."""
        there = copy.copy(frames)
        there._table, there._near = frames._table.to(CUDA), frames._near.to(CUDA)
        there._sizes = torch.empty(len(frames._table), device=CUDA)
        there._owner, there._poses = frames._owner.to(CUDA), frames._poses.to(CUDA)
        module = sys.modules[PoolFrames.__module__]
        self._context.enter_context(mock.patch.object(module, "pool_frames", return_value=there))


class _Event:
    def __init__(self, fake: FakeCuda) -> None:
        self._fake = fake

    def query(self) -> bool:
        return False

    def synchronize(self) -> None:
        self._fake.traffic.waits.append(_place())


class _Notation(TorchFunctionMode):
    """Translate what a build without CUDA refuses, and note lists that become tensors of the device."""

    def __init__(self, fake: FakeCuda) -> None:
        self._fake = fake

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        there = bool(args) and isinstance(args[0], Tensor) and args[0].device.type == "cuda"
        if func is Tensor.__getitem__ and there:
            viewed, indices = self._steps(*args)
            return aten.index.Tensor(viewed, indices) if indices else viewed
        if func is Tensor.__invert__ and there:
            return aten.bitwise_not.default(args[0])
        if func is Tensor.contiguous and there:
            format = kwargs.get("memory_format", torch.contiguous_format)
            laid_out = args[0].is_contiguous(memory_format=format)
            return args[0] if laid_out else aten.clone.default(args[0], memory_format=format)
        if func is Tensor.__setitem__ and there:
            return self._assign(*args)
        if func in (Tensor.to, Tensor.cpu, Tensor.cuda):
            return _copied(func, args, kwargs)
        if func is Tensor.new_tensor and there:
            self._note()
            return args[0].new_empty(torch.tensor(args[1]).shape)
        if func is Tensor.copy_ and there:
            return aten.copy_.default(*args, **kwargs)
        makes = func in (torch.tensor, torch.as_tensor) and not there
        if makes and torch.device(kwargs.get("device") or "cpu").type == "cuda":
            self._note()
        return func(*args, **kwargs)

    def _note(self) -> None:
        self._fake.traffic.waits.append(_place())

    def _assign(self, target: Tensor, index: Any, value: Any) -> None:
        viewed, indices = self._steps(target, index)
        if not isinstance(value, Tensor):
            value = torch.full((), value, dtype=target.dtype, device=target.device)
        if indices:
            aten.index_put_.default(viewed, indices, value)
        else:
            aten.copy_.default(viewed, value)

    def _steps(self, tensor: Tensor, index: Any) -> tuple[Tensor, list[Tensor | None]]:
        """Take views for all parts of an index but tensors and lists, which are returned by dimension."""
        parts = list(index) if isinstance(index, tuple) else [index]
        dots = [number for number, part in enumerate(parts) if part is Ellipsis]
        if dots:
            used = sum(part is not None and part is not Ellipsis for part in parts)
            parts[dots[0] : dots[0] + 1] = [slice(None)] * (tensor.ndim - used)
        found: dict[int, Tensor] = {}
        dim = 0
        for part in parts:
            if part is None:
                tensor = tensor.unsqueeze(dim)
            elif isinstance(part, int):
                tensor = tensor.select(dim, part)
                continue
            elif isinstance(part, slice):
                tensor = aten.slice.Tensor(tensor, dim, part.start, part.stop, part.step or 1)
            else:
                if not isinstance(part, Tensor) or part.device.type != "cuda":
                    self._note()
                    part = torch.empty(torch.as_tensor(part).shape, dtype=torch.long, device=CUDA)
                found[dim] = part
            dim += 1
        return tensor, [found.get(number) for number in range(max(found, default=-1) + 1)]


def _copied(func: Any, args: Any, kwargs: Any) -> Tensor:
    tensor, *rest = args
    options = dict(kwargs)
    options.pop("copy", None)
    if func is not Tensor.to:
        device, dtype, wait_free = torch.device(func.__name__), None, False
    elif rest and isinstance(rest[0], Tensor):
        device, dtype, wait_free = rest[0].device, rest[0].dtype, False
    else:
        device, dtype, wait_free, _ = torch._C._nn._parse_to(*rest, **options)
    device = tensor.device if device is None else CUDA if device.type == "cuda" else device
    dtype = dtype or tensor.dtype
    if (device, dtype) == (tensor.device, tensor.dtype):
        return tensor
    copied: Tensor = aten._to_copy.default(tensor, device=device, dtype=dtype, non_blocking=wait_free)
    return copied


class _Dispatch(TorchDispatchMode):
    """Count operations, and note copies."""

    def __init__(self, fake: FakeCuda) -> None:
        super().__init__()
        self._fake = fake

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        traffic = self._fake.traffic
        if func is aten._to_copy.default and kwargs.get("device") is not None:
            self._note_copy(args[0].device, torch.device(kwargs["device"]), free=kwargs.get("non_blocking"))
        if func is aten.copy_.default:
            self._note_copy(args[1].device, args[0].device, free=kwargs.get("non_blocking"))
        if func is aten.grid_sampler_2d.default:  # whose fake implementation uses the notation that is refused
            made = args[0].new_empty((*args[0].shape[:2], *args[1].shape[1:3]))
        else:
            made = func(*args, **kwargs)
        there = any(isinstance(x, Tensor) and x.device.type == "cuda" for x in tree_leaves((args, kwargs, made)))
        if there and not func.is_view and not str(func).startswith(_FREE):
            traffic.launches[str(func)] += 1
        return made

    def _note_copy(self, start: torch.device, end: torch.device, *, free: bool | None) -> None:
        traffic = self._fake.traffic
        if start.type != end.type:
            notes = traffic.waits if not free else traffic.sends if end.type == "cuda" else traffic.readbacks
            notes.append(_place())


def _place() -> str:
    frames = (frame for frame in reversed(traceback.extract_stack()) if "/fomaug/" in frame.filename)
    last = next(frames, None)
    return "?" if last is None else f"{last.filename.rpartition('/fomaug/')[2]}:{last.lineno} {last.name}"
