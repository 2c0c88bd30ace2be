"""Masks as COCO stores them: polygons, and run lengths for crowds."""

import cv2
import numpy as np

_TOLERANCE = 1.0  # How far a polygon may leave the outline, half pixels.
_SMALL = 100  # Parts below so many pixels are traced exactly.
_SPECK = 4  # Holes below so many pixels are filled.


def mask_to_polygons(mask: np.ndarray) -> list[list[float]]:
    """Trace a mask's parts.

    COCO's polygons have no holes: a hole is joined to the outline around it
    by a slit of no width.

    Args:
        mask: (H, W) bool with at least one true pixel.

    Returns:
        A polygon per connected part, ``[x0, y0, x1, y1, ...]`` in pixels,
        where pixel ``i`` covers ``[i, i + 1]``.
    """
    # On a doubled grid, contours run a quarter pixel inside the outline, so
    # that exactly the mask's pixel centers lie within.
    doubled = mask.astype(np.uint8).repeat(2, 0).repeat(2, 1)
    contours, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    polygons = []
    for part, (_, _, hole, parent) in enumerate(hierarchy[0]):
        if parent >= 0:
            continue
        polygon = _simplify(contours[part])
        while hole >= 0:
            if _pixels(contours[hole]) >= _SPECK:
                polygon = _join(polygon, _simplify(contours[hole]))
            hole = hierarchy[0][hole][0]
        polygons.append(((polygon + 0.5) / 2).ravel().tolist())
    return polygons


def mask_to_rle(mask: np.ndarray) -> dict[str, list]:
    """Run lengths of a mask, uncompressed, as COCO stores crowds.

    pycocotools only writes the compressed form, which COCO's own annotation
    files do not use.

    Args:
        mask: (H, W) bool.

    Returns:
        ``size``, [H, W], and ``counts``: lengths of the runs of 0 and 1 in
        turn, down the columns, starting with 0.
    """
    pixels = mask.ravel(order='F')
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    edges = np.concatenate(([0], changes, [pixels.size]))
    counts = np.diff(edges).tolist()
    if pixels[0]:
        counts.insert(0, 0)
    return dict(size=list(mask.shape), counts=counts)


def mask_to_box(mask: np.ndarray) -> list[float]:
    """The box around a mask.

    Args:
        mask: (H, W) bool with at least one true pixel.

    Returns:
        [x, y, width, height], pixels.
    """
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return [float(x), float(y), float(width), float(height)]


def _pixels(contour: np.ndarray) -> float:
    """Area within a contour of the doubled grid, in pixels of the mask."""
    return cv2.contourArea(contour) / 4


def _simplify(contour: np.ndarray) -> np.ndarray:
    """The points that matter, (n, 2)."""
    tolerance = _TOLERANCE if _pixels(contour) >= _SMALL else 0.0
    points = cv2.approxPolyDP(contour, tolerance, True)[:, 0]
    if len(points) < 3:  # A long line, one pixel wide, has collapsed.
        points = contour[:, 0]
    return points.astype(np.float64)


def _join(outline: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Walk the outline, cross to the hole at the nearest points, return."""
    gaps = ((outline[:, None] - hole[None]) ** 2).sum(-1)
    i, j = np.unravel_index(gaps.argmin(), gaps.shape)
    return np.concatenate((outline[: i + 1], hole[j:], hole[: j + 1], outline[i:]))
