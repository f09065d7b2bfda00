"""Blocks of KV memory: who holds which, and which can be found again by content. Torch-free.

A block is referenced (by one or more block tables), or idle. An idle block may still carry indexed content, and is
then evicted least recently used first, after all idle blocks without content:

    idle:  [ no content, in any order | content, oldest first ............ newest ]
             allocate() takes from this end                  release() adds at this end

The prefix index is exact. A full block is found by (content id of the block before it, its own token ids). A content
id is given out once and never again, so a chain whose head was evicted can't be reached through a reused block.
"""

import itertools
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence

ROOT = 0  # the content id before a sequence's first block
PADDING_BLOCK = 0  # padding rows write here; never handed out

Key = tuple[int, tuple[int, ...]]


class BlockPool:
    """`num_blocks` blocks of `block_size` tokens, counted by reference. Every operation is O(1) a block."""

    def __init__(self, num_blocks: int, block_size: int, prefix_cache: bool = True) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.prefix_cache = prefix_cache
        self._idle: OrderedDict[int, None] = OrderedDict.fromkeys(range(1, num_blocks))
        self._references = [0] * num_blocks
        self._key: list[Key | None] = [None] * num_blocks
        self._index: dict[Key, tuple[int, int]] = {}  # -> (content id, block)
        self._content_ids = itertools.count(ROOT + 1)

    @property
    def available(self) -> int:
        """Blocks that allocate() could hand out now, evicting idle content."""
        return len(self._idle)

    @property
    def capacity(self) -> int:
        return self.num_blocks - 1

    def is_idle(self, block: int) -> bool:
        return self._references[block] == 0

    def lookup(self, tokens: Sequence[int], limit: int) -> tuple[list[int], int]:
        """Blocks holding the longest indexed prefix of at most `limit` tokens, and the last one's content id."""
        found: list[int] = []
        content = ROOT
        if not self.prefix_cache:
            return found, content
        for start in range(0, limit - self.block_size + 1, self.block_size):
            hit = self._index.get((content, tuple(tokens[start : start + self.block_size])))
            if hit is None:
                break
            content, block = hit
            found.append(block)
        return found, content

    def acquire(self, blocks: Iterable[int]) -> None:
        """Add one reference to each block that lookup() found."""
        for block in blocks:
            if self._references[block] == 0:
                del self._idle[block]
            self._references[block] += 1

    def allocate(self, count: int) -> list[int]:
        """Hand out `count` blocks with one reference each; the caller has looked at `available`."""
        blocks = []
        for _ in range(count):
            block, _ = self._idle.popitem(last=False)
            self._forget(block)
            self._references[block] = 1
            blocks.append(block)
        return blocks

    def release(self, blocks: Sequence[int]) -> None:
        """Drop one reference each. The tail goes idle first, so a chain is evicted from its end."""
        for block in reversed(blocks):
            self._references[block] -= 1
            if self._references[block] == 0:
                self._idle[block] = None
                if self._key[block] is None:
                    self._idle.move_to_end(block, last=False)

    def register(self, block: int, parent: int, tokens: Sequence[int]) -> int:
        """Make a full, accepted block findable; returns its content id.

        When another block already holds the same content that one stays in the index, and its id is returned.
        """
        if not self.prefix_cache:
            return ROOT
        key = (parent, tuple(tokens))
        known = self._index.get(key)
        if known is not None:
            return known[0]
        content = next(self._content_ids)
        self._index[key] = (content, block)
        self._key[block] = key
        return content

    def reset(self) -> None:
        """Forget all content; running requests keep their blocks.

        Idle blocks are handed out in ascending order again: a sequence whose blocks lie together is read a quarter
        faster on a CPU, so what is measured from here on must not depend on what ran before.
        """
        for _, block in list(self._index.values()):
            self._forget(block)
        self._idle = OrderedDict.fromkeys(sorted(self._idle))

    def _forget(self, block: int) -> None:
        key = self._key[block]
        if key is not None:
            del self._index[key]
            self._key[block] = None

    def check(self, tables: Iterable[Sequence[int]]) -> None:
        """Raise AssertionError unless the books agree with the block tables of all running requests."""
        named = Counter(block for table in tables for block in table)
        if PADDING_BLOCK in named or PADDING_BLOCK in self._idle:
            raise AssertionError("block 0 was handed out")
        for block in range(1, self.num_blocks):
            if self._references[block] != named[block]:
                raise AssertionError(f"block {block}: {self._references[block]} references, {named[block]} tables")
            if (self._references[block] == 0) != (block in self._idle):
                raise AssertionError(f"block {block} is neither idle nor referenced, or both")
        for key, (_, block) in self._index.items():
            if self._key[block] != key:
                raise AssertionError(f"the index points at block {block}, which holds something else")
        if len(self._index) != sum(key is not None for key in self._key):
            raise AssertionError("a block says it is indexed and is not")
