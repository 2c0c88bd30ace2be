# DeiT-S with a distillation token and hard distillation; the teacher is DeiT's,
# timm's RegNetY-16GF.
_base_ = ['./deit-s_8xb128-300e_in1k-224.py']
model = dict(
    type='mmanchor.DistilledClassifier',
    backbone=dict(extra_tokens=('cls', 'dist')),
    head=dict(type='mmanchor.DistilledDeiTHead'),
    # Any classifier with the same classes and the same normalization of images;
    # a checkpoint of your own is given as model.teacher_checkpoint.
    teacher=dict(type='TimmClassifier', model_name='regnety_160.deit_in1k', pretrained=True),
    distillation='hard',
    distillation_weight=0.5,
)
