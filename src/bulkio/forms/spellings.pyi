import pyarrow as pa

TYPES: tuple[tuple[int, str], ...]
ALL: int

def spellings(array: pa.StringArray, mask: int) -> int: ...
