"""Counting floating-point operations and bytes of whatever torch executes.

Matrix products are counted by :mod:`torch.utils.flop_counter`, two operations per
multiply-add. All else is counted here, by what reaches the device, backward passes and
``torch.func`` transforms included:

- an elementwise operation or a reduction counts one per element, one that is made of
  exponentials or logarithms ten (about what a vectorised one takes), a step of AdamW fourteen
  per weight, a triangular solve one per element of the matrix and column;
- what only moves values counts none;
- bytes are those of all inputs and outputs of all operations, as if no cache kept anything
  between two of them; views are free, and an expanded tensor is as large as what it shows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

__all__ = ["Count", "count", "elementwise_weight", "traffic"]


def _names(text: str) -> frozenset[str]:
    """Names of operations."""
    return frozenset(text.split())


_TEN = _names(
    "exp exp_ expm1 log log_ log1p log2 logsumexp pow sigmoid silu silu_backward softplus "
    "softplus_backward _softmax _log_softmax tanh erf"
)
_NONE = _names(
    "cat stack clone copy_ _to_copy gather index index_select constant_pad_nd slice_backward "
    "select_backward slice_scatter index_put index_put_ zeros zeros_like ones ones_like "
    "fill_ zero_ full full_like new_zeros new_ones new_full scalar_tensor arange eye "
    "tril triu diagonal_backward unfold_backward roll flip repeat scatter"
)
_FREE = _names(
    "empty empty_like empty_strided new_empty new_empty_strided _unsafe_view detach alias "
    "lift_fresh set_ resize_ to _local_scalar_dense is_same_size _has_same_storage_numel "
    "_efficientzerotensor _new_zeros_with_same_feature_meta _record_function_enter_new "
    "_record_function_exit"
)
_ADAMW = 14


def elementwise_weight(name: str) -> int:
    """Operations per element of an operation that is no matrix product, by its name."""
    if name in _NONE or name in _FREE:
        return 0
    if name.startswith("_fused_adamw"):
        return _ADAMW
    return 10 if name in _TEN else 1


def traffic(tensors: Iterable[Tensor]) -> int:
    """Bytes that tensors take in memory; what is expanded counts once."""
    return sum(_shown(tensor) * tensor.element_size() for tensor in tensors)


def _shown(tensor: Tensor) -> int:
    """Elements of memory that a tensor shows."""
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(size for size, stride in pairs if stride != 0 or size == 0)


@dataclass
class Count:
    """What some work consists of.

    Arguments:
        matmul_flops: Operations of matrix products.
        elementwise_flops: All other operations.
        matmul_bytes: Bytes that matrix products read and write.
        elementwise_bytes: Bytes of all else.
        matmuls: Shapes of the two factors of each product, with how often it is done.
        calls: Number of calls by name, for a look at what is executed.
    """

    matmul_flops: int = 0
    elementwise_flops: int = 0
    matmul_bytes: int = 0
    elementwise_bytes: int = 0
    matmuls: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)

    @property
    def flops(self) -> int:
        """All operations."""
        return self.matmul_flops + self.elementwise_flops

    @property
    def bytes(self) -> int:
        """All bytes."""
        return self.matmul_bytes + self.elementwise_bytes


def count(work: Callable[[], Any]) -> Count:
    """Do some work once, and count what it consists of."""
    with _Counting() as counting:
        work()
    return counting.found


class _Counting(TorchDispatchMode):
    """Looks at every operation that reaches a device."""

    def __init__(self) -> None:
        super().__init__()
        self.found = Count()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Execute an operation and count it."""
        kwargs = dict(kwargs or {})
        result = func(*args, **kwargs)
        packet, found = func.overloadpacket, self.found
        name = packet.__name__
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if packet in flop_registry:
            found.matmul_flops += flop_registry[packet](*args, **kwargs, out_val=result)
            found.matmul_bytes += traffic([*inputs, *outputs])
            first, second = (tuple(tensor.shape) for tensor in inputs[-2:])
            found.matmuls[first, second] += 1
        elif not (_is_view(func) or name in _FREE):
            # in place, without a result: written where it was read
            written = outputs or inputs
            found.elementwise_flops += elementwise_weight(name) * _elements(name, inputs, outputs)
            found.elementwise_bytes += traffic([*inputs, *written])
        found.calls[name] += 1
        return result


def _elements(name: str, inputs: list[Tensor], outputs: list[Tensor]) -> int:
    """Number of elements that an operation works on."""
    if name == "linalg_solve_triangular":  # two operations for half of the matrix, per column
        matrix, columns = inputs[:2]
        return matrix.shape[-1] * columns.numel()
    if name.startswith("_fused"):  # weights, gradients and two moments come as one list each
        return sum(tensor.numel() for tensor in inputs) // 4
    return max((tensor.numel() for tensor in [*inputs, *outputs]), default=0)


def _is_view(func: Any) -> bool:
    """Whether an operation returns another look at its input."""
    returns = func._schema.returns
    return bool(returns) and all(
        value.alias_info is not None and not value.alias_info.is_write for value in returns
    )
