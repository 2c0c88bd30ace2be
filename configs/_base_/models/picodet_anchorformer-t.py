# PicoDet-S with AnchorFormer blocks in ESNet's last stage: AnchorFormer-T.
_base_ = ['./picodet_esnet-s.py']
model = dict(backbone=dict(type='mmanchor.AnchorESNet'))
