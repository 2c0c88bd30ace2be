"""A classifier that learns from a teacher, as DeiT and LeViT do."""

import warnings

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from mmpretrain.models import ImageClassifier
from torch import Tensor, nn

from ...compat.errors import CheckpointError
from ...compat.torch_files import BESIDE, arrays_of_torch
from ...registry import MODELS
from ..backbones.base import is_pretrained

DISTILLATIONS = ('hard', 'soft')
# Arguments by which classifiers of other libraries load weights.
LOADING_ARGUMENTS = ('pretrained', 'checkpoint_path')


@MODELS.register_module()
class DistilledClassifier(ImageClassifier):
    r"""mmpretrain's ``ImageClassifier``, trained by labels and a teacher.

    Eq. 2 and 3 of DeiT (arXiv 2012.12877), with the student's scores z and
    the teacher's scores t:

    .. math::
        L_{soft} = (1 - \lambda) L(z, y)
                   + \lambda \tau^2 KL(\mathrm{softmax}(t / \tau) \,\|\,
                                       \mathrm{softmax}(z / \tau)), \quad
        L_{hard} = (1 - \lambda) L(z, y) + \lambda CE(z, \arg\max t)

    In a head with two classifiers, such as
    :class:`mmanchor.DistilledDeiTHead`, the first term is computed from one
    and the second from the other; in any other head both are computed from
    its scores.

    The teacher is built when the first loss is computed, so that it is needed
    for training only. It is not in the state dict, sees the student's
    preprocessed images, and is never trained.

    Args:
        *args: As in ``ImageClassifier``.
        teacher: Config of a classifier with the same number of classes.
        teacher_checkpoint: Checkpoint of the teacher: a state dict, or a file
            that has one as ``state_dict``, ``model`` or ``module``. It
            replaces weights that the config names by ``pretrained``. ``None``
            if the config loads weights by itself.
        distillation: 'hard' or 'soft'.
        distillation_weight: :math:`\lambda`, in [0, 1].
        temperature: :math:`\tau`, above 0; used by 'soft' only.
        **kwargs: As in ``ImageClassifier``.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        *args,
        teacher: dict,
        teacher_checkpoint: str | None = None,
        distillation: str = 'hard',
        distillation_weight: float = 0.5,
        temperature: float = 1.0,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        if distillation not in DISTILLATIONS:
            raise ValueError(f'distillation must be one of {DISTILLATIONS}, got {distillation!r}')
        if not 0 <= distillation_weight <= 1:
            raise ValueError(
                f'distillation_weight must be within 0 and 1, got {distillation_weight}'
            )
        if temperature <= 0:
            raise ValueError(f'temperature must be above 0, got {temperature}')
        self.teacher_cfg = teacher
        self.teacher_checkpoint = teacher_checkpoint
        self.distillation = distillation
        self.distillation_weight = distillation_weight
        self.temperature = temperature
        # In a list, so that torch does not register it as a submodule.
        self._teachers: list[nn.Module] = []

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Losses for labels and teacher.

        Args:
            inputs: Preprocessed images, (B, 3, H, W).
            data_samples: Their labels.

        Returns:
            The head's losses times 1 - ``distillation_weight``, and
            ``loss_distillation``.
        """
        feats = self.extract_feat(inputs)
        if hasattr(self.head, 'token_scores'):
            labelled, student = self.head.token_scores(feats)
        else:
            labelled = student = self.head(feats)
        weight = self.distillation_weight
        losses = {
            name: value * (1 - weight) if 'loss' in name else value
            for name, value in self.head._get_loss(labelled, data_samples).items()
        }
        losses['loss_distillation'] = weight * self._distillation_loss(student, self._teach(inputs))
        return losses

    def _distillation_loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        if student.shape != teacher.shape:
            raise ValueError(
                f'the teacher has {teacher.shape[1]} classes and the student {student.shape[1]}'
            )
        if self.distillation == 'hard':
            return F.cross_entropy(student, teacher.argmax(dim=1))
        tau = self.temperature
        return tau**2 * F.kl_div(
            (student / tau).log_softmax(dim=1),
            (teacher / tau).log_softmax(dim=1),
            reduction='batchmean',
            log_target=True,
        )

    @torch.no_grad()
    def _teach(self, inputs: Tensor) -> Tensor:
        """The teacher's scores, (B, K)."""
        if not self._teachers:
            cfg = self.teacher_cfg
            if self.teacher_checkpoint is not None and 'pretrained' in cfg:
                cfg = dict(cfg, pretrained=False)  # nothing to download
            built = MODELS.build(cfg)
            if self.teacher_checkpoint is None:
                self._load_as_configured(built)
            else:
                self._load_checkpoint(built, self.teacher_checkpoint)
            self._teachers.append(built.eval().requires_grad_(False))
        teacher = self._teachers[0].to(inputs.device)
        return teacher(inputs, mode='tensor')

    def _load_checkpoint(self, teacher: nn.Module, path: str) -> None:
        """Load a checkpoint of ours, of the toolboxes or of a model's authors."""
        loaded = CheckpointLoader.load_checkpoint(path, map_location='cpu')
        weights = {
            name: value
            for name, value in arrays_of_torch(loaded, path).items()
            if not name.startswith(BESIDE)
        }
        try:
            teacher.load_state_dict(weights)
        except RuntimeError as error:
            raise CheckpointError(
                f'model.teacher_checkpoint={path!r} does not fit model.teacher: {error}'
            ) from error

    def _load_as_configured(self, teacher: nn.Module) -> None:
        """Load the weights that parts of a teacher name in ``init_cfg``.

        ``teacher.init_weights()`` would not do: timm's transformers have a
        method of that name, too, which overwrites weights that were loaded.
        """
        parts = [
            part for part in teacher.modules() if is_pretrained(getattr(part, 'init_cfg', None))
        ]
        for part in parts:
            if isinstance(part, BaseModule) and not part.is_init:
                part.init_weights()
        if not parts and not any(map(self.teacher_cfg.get, LOADING_ARGUMENTS)):
            warnings.warn(
                'the teacher has random weights; set model.teacher_checkpoint', stacklevel=2
            )
