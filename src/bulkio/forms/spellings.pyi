import pyarrow as pa

TYPES: tuple[tuple[int, str], ...]
ALL: int
NUMBERS: int
MOMENTS: int

def spellings(array: pa.StringArray, mask: int) -> int: ...
