# AnchorFormer-S with a distillation token, as the released classifier has
# it, and DeiT's hard distillation from its teacher, RegNetY-16GF of timm.
_base_ = ['./anchorformer-s_8xb128-300e_in1k-224.py']
model = dict(
    type='mmanchor.DistilledClassifier',
    backbone=dict(extra_tokens=('cls', 'dist')),
    head=dict(type='mmanchor.DistilledDeiTHead'),
    # Any classifier of the same classes that takes images normalised like the
    # student's; give a file as model.teacher_checkpoint.
    teacher=dict(type='TimmClassifier', model_name='regnety_160.deit_in1k', pretrained=True),
    distillation='hard',
    distillation_weight=0.5,
)
