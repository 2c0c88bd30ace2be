"""Write a file so that its name never stands for half of it."""
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Union


@contextmanager
def written_aside(path: Union[str, Path]) -> Iterator[Path]:
    """Give a temporary name in the same folder; move it when all went well.

    Args:
        path: The file to write.

    Yields:
        Where to write it; removed if the block raises.
    """
    path = Path(path)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
