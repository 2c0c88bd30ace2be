"""How predictions are drawn and kept."""

from dataclasses import dataclass
from typing import Any

from ..utils.errors import UserError
from ..utils.files import PathLike

# Options that one task alone has, with what they are if they are not given.
TASK_OPTIONS: dict[str, dict[str, Any]] = {
    'segmentation': dict(opacity=0.6, with_labels=False, masks=None, color_masks=False, exact=None),
    'detection': dict(score_thr=0.3, ann_file=None, tile=None, overlap=0.2),
    'classification': {},
}


@dataclass(frozen=True)
class PredictOptions:
    """How predictions are drawn and kept; ``None`` is not given.

    Args:
        opacity: Segmentation: weight of the colors of masks, 0 to 1; 0.6 if not
            given.
        with_labels: Segmentation: write class names into regions.
        score_thr: Detection: boxes below this score are left out; 0.3 if not
            given.
        overlays: Write drawn images, or a drawn video.
        masks: Segmentation: write masks of class indices; if not given, for
            images and not for videos.
        color_masks: Segmentation: give the masks a palette; their values stay
            the same.
        batch_size: Images of equal size that go through the model at once.
        max_frames: Limit for each video and webcam.
        ann_file: Detection on images: a COCO annotation file whose ids the
            results get, to be scored against it.
        exact: Segmentation: whole images in bands of rows, written as TIFF. If
            not given, for images that would not fit in memory otherwise.
        tile: Detection: cut images into tiles of this side, in pixels, and join
            the boxes.
        overlap: Detection: share of a tile that overlaps with the next one, 0
            to 0.9; 0.2 if not given.

    Raises:
        UserError: If a value is out of its range.
    """

    opacity: float | None = None
    with_labels: bool | None = None
    score_thr: float | None = None
    overlays: bool = True
    masks: bool | None = None
    color_masks: bool | None = None
    batch_size: int = 1
    max_frames: int | None = None
    ann_file: PathLike | None = None
    exact: bool | None = None
    tile: int | None = None
    overlap: float | None = None

    def __post_init__(self) -> None:
        for name in ('opacity', 'score_thr'):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise UserError(f'{name} must be between 0 and 1, got {value}')
        if self.overlap is not None and (self.tile is None or not 0 <= self.overlap <= 0.9):
            raise UserError(f'overlap must be between 0 and 0.9, with tile, got {self.overlap}')
        drawn = self.opacity is not None or self.with_labels
        if self.exact and (drawn or self.masks is False):
            raise UserError(
                'exact writes masks and draws nothing: leave out opacity, with_labels, masks=False'
            )
        for name in ('batch_size', 'max_frames', 'tile'):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f'{name} must be 1 or more, got {value}')

    def get(self, name: str) -> Any:
        """An option of a task: what was given, or what it is otherwise."""
        value = getattr(self, name)
        if value is not None:
            return value
        return next(own[name] for own in TASK_OPTIONS.values() if name in own)

    def refuse_other_tasks(self, task: str, config: object) -> None:
        """Make sure that no option of another task was given.

        Args:
            task: What the model does, such as ``'detection'``.
            config: Name of its config, for the message.

        Raises:
            UserError: If there is one.
        """
        for other, names in TASK_OPTIONS.items():
            for name in names:
                value = getattr(self, name)
                # False asks for nothing; 0.0 is a value.
                if other != task and value is not None and value is not False:
                    raise UserError(
                        f'--{name.replace("_", "-")} is for {other}, and {config} is a config '
                        f'of {task}'
                    )
        if task == 'segmentation' and self.masks is False and not self.overlays:
            raise UserError('--no-overlays and --no-masks together leave nothing to write')
