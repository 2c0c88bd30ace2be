"""How much memory is free, so that too large an image is refused before it is read."""

from pathlib import Path

_CGROUPS = (
    ('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory.current'),
    ('/sys/fs/cgroup/memory/memory.limit_in_bytes', '/sys/fs/cgroup/memory/memory.usage_in_bytes'),
)


def free_memory() -> int | None:
    """Bytes that this process can still allocate on the CPU.

    The smallest of what the machine has left, what its container may use, and
    what the process itself is limited to.

    Returns:
        A number of bytes; ``None`` where the system does not say.
    """
    free = [_machine(), _process(), *(_container(*paths) for paths in _CGROUPS)]
    return min((each for each in free if each is not None), default=None)


def _machine() -> int | None:
    for line in _read('/proc/meminfo').splitlines():
        if line.startswith('MemAvailable:'):
            return int(line.split()[1]) * 1024
    return None


def _container(limit: str, used: str) -> int | None:
    limit, used = _read(limit).strip(), _read(used).strip()
    if not (limit.isdecimal() and used.isdecimal()):
        return None
    return max(0, int(limit) - int(used))


def _process() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _read('/proc/self/statm').split()[:1]
    if limit == resource.RLIM_INFINITY or not pages:
        return None
    return max(0, limit - int(pages[0]) * resource.getpagesize())


def _read(path: str) -> str:
    """The text of a file; nothing if it cannot be read."""
    try:
        return Path(path).read_text(encoding='utf-8')
    except OSError:
        return ''
