"""Processes that write scenes in parallel."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import cv2

from .writers import SceneJob, SceneRecord, write_scene

WriteAll = Callable[[list[SceneJob]], Iterable[SceneRecord]]


@contextmanager
def scene_writers(processes: int) -> Iterator[WriteAll]:
    """Start processes that write scenes; 1 keeps to the calling process.

    Args:
        processes: How many work at once, >= 1.

    Yields:
        A function that writes the scenes of a list of jobs and gives their
        records in order, each as soon as it is available.
    """
    if processes == 1:
        yield lambda jobs: map(write_scene, jobs)
        return
    # A forked process cannot stop the threads of its parent's OpenCV, so
    # there must be none when it starts.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    pool = ProcessPoolExecutor(processes, initializer=_start)
    try:
        pool.submit(os.getpid).result()  # All processes start with the first.
        cv2.setNumThreads(threads)
        yield lambda jobs: pool.map(write_scene, jobs, chunksize=8)
    finally:
        cv2.setNumThreads(threads)
        pool.shutdown(wait=True, cancel_futures=True)


def _start() -> None:
    # Only the parent handles Ctrl+C, and each process uses one core.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if cv2.getNumThreads() > 1:
        cv2.setNumThreads(1)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    # A worker whose parent was killed would wait forever for its next job.
    multiprocessing.parent_process().join()
    os._exit(1)
