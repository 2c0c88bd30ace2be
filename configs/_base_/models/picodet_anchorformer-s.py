# PicoDet-M with AnchorFormer blocks in ESNet's last stage: AnchorFormer-S.
_base_ = ['./picodet_esnet-m.py']
model = dict(backbone=dict(type='mmanchor.AnchorESNet'))
