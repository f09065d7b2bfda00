"""Which part of a model each rank of a tensor-parallel engine holds. Torch-free.

    by heads      query, key, value │ rows       output │ columns      a KV head stays with the query heads that read it
    by MLP inner  gate, up          │ rows       down   │ columns      of each expert likewise
    by vocabulary head              │ rows

Whatever is split by rows computes a part of the numbers; what is split by columns a summand of all of them. The rest,
the embedding, norms and routers, every rank has.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from engine.config import ModelShape
from engine.errors import InputError


@dataclass(frozen=True, slots=True)
class Axis:
    """A dimension of a stored tensor: how long it is there, and the parts of it that are wanted, in this order."""

    size: int
    parts: tuple[slice, ...]

    @classmethod
    def whole(cls, size: int) -> Self:
        return cls(size, (slice(0, size),))

    @classmethod
    def joined(cls, axes: Iterable["Axis"]) -> Self:
        """Of a tensor in which several were stored one behind the other."""
        start = 0
        parts: list[slice] = []
        for axis in axes:
            parts += [slice(start + part.start, start + part.stop) for part in axis.parts]
            start += axis.size
        return cls(start, tuple(parts))


@dataclass(frozen=True, slots=True)
class Shard:
    """The part of rank `rank` among `ranks`."""

    rank: int = 0
    ranks: int = 1

    def span(self, total: int) -> slice:
        """Its share of `total` rows or columns, in order of the ranks; where they don't divide, the last get fewer."""
        width = -(-total // self.ranks)
        return slice(min(self.rank * width, total), min((self.rank + 1) * width, total))

    def axis(self, total: int) -> Axis:
        return Axis(total, (self.span(total),))

    def query_axis(self, shape: ModelShape) -> Axis:
        return self.axis(shape.heads * shape.head_dim)

    def kv_axis(self, shape: ModelShape) -> Axis:
        """Fewer KV heads than ranks: several ranks hold the same one."""
        first = self.rank * shape.kv_heads // self.ranks
        last = first + self.kv_heads(shape)
        return Axis(shape.kv_heads * shape.head_dim, (slice(first * shape.head_dim, last * shape.head_dim),))

    def kv_heads(self, shape: ModelShape) -> int:
        return max(1, shape.kv_heads // self.ranks)


WHOLE = Shard()


def check_divides(shape: ModelShape, ranks: int) -> None:
    """Raise InputError for a number of ranks among which the heads can't be dealt out."""
    heads, kv_heads = shape.heads, shape.kv_heads
    possible = [n for n in range(1, heads + 1) if heads % n == 0 and (kv_heads % n == 0 or n % kv_heads == 0)]
    if ranks not in possible:
        raise InputError(
            f"tensor_parallel is {ranks}; a model of {heads} attention heads and {kv_heads} KV heads can be dealt out "
            f"to {' or '.join(map(str, possible))}"
        )
