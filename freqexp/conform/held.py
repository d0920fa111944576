"""What a stored layer of the KV cache keeps alive, found without asking it."""

from __future__ import annotations

import gc
from types import FunctionType, ModuleType

import numpy as np
from torch import Tensor

from freqexp.nouns.cache import Shared, StoredLayer


def reachable(root: object) -> list[object]:
    """Tensors and arrays that an object leads to, through whatever holds them: attributes, slots,
    containers, closures. Nothing `Shared`, and nothing that classes and modules hold.
    """
    seen: dict[int, object] = {}
    waiting: list[object] = [root]
    found: list[object] = []
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, (type, ModuleType, Shared)):
            continue
        seen[id(item)] = item
        if isinstance(item, (Tensor, np.ndarray, bytes, bytearray)):
            found.append(item)
        elif isinstance(item, FunctionType):
            waiting += [item.__closure__, item.__defaults__, item.__kwdefaults__, item.__dict__]
        else:
            waiting += gc.get_referents(item)
    return found


def check_storage(stored: StoredLayer) -> None:
    """Whether `tensors` names everything that is held, once, and each has a storage of its own size
    and of its own.
    """
    named = [tensor for tensors in stored.tensors().values() for tensor in tensors if tensor.nbytes]
    sizes = {tensor.untyped_storage().data_ptr(): tensor.nbytes for tensor in named}
    assert len(sizes) == len(named), "named twice, or two views of one storage"
    for tensor in named:
        whole = tensor.untyped_storage().nbytes()
        assert whole == tensor.nbytes, f"a view of {tensor.nbytes} bytes holds {whole}"
    held = {}
    for item in reachable(stored):
        assert isinstance(item, Tensor) or not len(item), f"{type(item)} beside tensors"  # type: ignore[arg-type]
        if isinstance(item, Tensor) and item.untyped_storage().nbytes():
            held[item.untyped_storage().data_ptr()] = item.untyped_storage().nbytes()
    assert held == sizes, "held and named are not the same"
