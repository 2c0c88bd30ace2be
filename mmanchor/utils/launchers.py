"""What each launcher of distributed runs tells its processes."""

import os

# The variables for rank, number of processes, and rank on the node.
VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}


def rank_and_size(launcher: str) -> tuple[int, int]:
    """This process's rank and the number of processes, before they are joined.

    Args:
        launcher: ``'none'`` or a key of :data:`VARIABLES`.

    Returns:
        ``(0, 1)`` without a launcher; a variable that is no number counts as
        one process alone would have it.

    Example:
        >>> rank_and_size('none')
        (0, 1)
    """
    rank, size = (os.environ.get(name, '') for name in VARIABLES.get(launcher, ('', ''))[:2])
    return int(rank) if rank.isdigit() else 0, int(size) if size.isdigit() else 1
