# PicoDet-M with AnchorFormer blocks in ESNet's last stage: AnchorFormer-S. With
# neck and head 128 wide, as in M, it would have 1.78 GMACs at 416 pixels, above
# the paper's 1.7.
_base_ = ['./picodet_esnet-m.py']
model = dict(
    backbone=dict(type='mmanchor.AnchorESNet'),
    neck=dict(out_channels=112),
    bbox_head=dict(in_channels=112, feat_channels=112),
)
