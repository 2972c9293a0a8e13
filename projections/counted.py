"""A number with its noun, for a person."""


def counted(number: int, one: str) -> str:
    """Give a number with its noun: `1 fact`, `2,000 facts`."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"
