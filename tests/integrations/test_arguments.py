"""The adapters list their arguments explicitly, as their libraries require; the lists must agree."""

from __future__ import annotations

import importlib
import inspect

import pytest

from fomaug import MotionAugment

# Arguments that a library replaces by its own.
ABSENT = {
    "albumentations": {"seed", "value_range", "batch_size", "differentiable", "on_missing", "purpose"},
    "kornia": {"seed", "value_range", "on_missing", "purpose"},
    "torchvision": {"seed", "on_missing", "purpose"},
}
OWN = {"albumentations": {"device"}, "kornia": {"p_batch", "same_on_batch", "keepdim"}, "torchvision": set()}


@pytest.fixture(params=ABSENT)
def adapter(request):
    """Return the name and the class of an adapter."""
    pytest.importorskip(request.param, exc_type=(ImportError, RuntimeError))
    return request.param, importlib.import_module(f"fomaug.integrations.{request.param}").MotionAugment


def arguments(kind: type) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(kind.__init__).parameters)
    del found["self"]
    return found


def test_adapters_have_the_arguments_and_defaults_of_the_module(adapter):
    name, kind = adapter
    known, found = arguments(MotionAugment), arguments(kind)
    assert known.keys() - found.keys() == ABSENT[name]
    assert found.keys() - known.keys() == OWN[name]
    for argument in known.keys() & found.keys():
        assert found[argument].default == known[argument].default, argument


def described(kind: type) -> list[str]:
    lines = inspect.getdoc(kind).split("Args:\n")[1].splitlines()
    return [line.strip().split(":")[0] for line in lines if line.startswith("    ") and line[4] != " "]


def test_every_argument_is_described_by_the_adapter_or_by_the_module(adapter):
    name, kind = adapter
    own, taken = described(kind), list(arguments(kind))
    assert own == [argument for argument in taken if argument in own]
    assert OWN[name] <= set(own)
    assert "those of `fomaug.MotionAugment`" in inspect.getdoc(kind)
    assert set(taken) <= {*own, *described(MotionAugment)}
