"""Many lists of unlike length laid end to end: which program works on which, without asking the host."""

import triton
import triton.language as tl


def programs_for(total: int, lists: int, part: int) -> int:
    """How many programs `find` needs for `total` items in so many lists, `part` items each, whatever the lengths."""
    return total // part + lists


@triton.jit
def find(first, lists, program, PART: tl.constexpr):
    """The list that `program` works on, and which part of it; list n holds items `first[n] .. first[n + 1]`.

    List n starts at program (items before it) // PART + n. That leaves each list at least the programs it needs;
    a program for which nothing is left gets a part past its list's end.
    """
    begin = tl.load(first)
    low, high = program * 0, lists - 1
    while low < high:
        middle = (low + high + 1) // 2
        if (tl.load(first + middle) - begin) // PART + middle <= program:
            low = middle
        else:
            high = middle - 1
    return low, program - ((tl.load(first + low) - begin) // PART + low)
