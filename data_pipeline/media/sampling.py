"""Which of a video's frames stand for it."""

__all__ = ["places"]


def places(count: int, most: int) -> list[int]:
    """The places of at most `most` of `count` frames, evenly, the first and the last included.

    >>> places(10, 5), places(3, 5), places(3, 1)
    ([0, 2, 5, 7, 9], [0, 1, 2], [0])
    """
    if most < 1:
        raise ValueError(f"max_frames must be at least 1, got {most}")
    if count <= most:
        return list(range(count))
    gaps = max(1, most - 1)
    # Integers round halves up; floats would round some down.
    return [(2 * i * (count - 1) + gaps) // (2 * gaps) for i in range(most)]
