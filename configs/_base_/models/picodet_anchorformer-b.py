# PicoDet-L with AnchorFormer blocks in ESNet's last stage: AnchorFormer-B.
_base_ = ['./picodet_esnet-l.py']
model = dict(backbone=dict(type='mmanchor.AnchorESNet'))
