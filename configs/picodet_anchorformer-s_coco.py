# Entry point for PicoDet with AnchorFormer-S on COCO, at 416 pixels.
_base_ = ['./picodet/picodet_anchorformer-s_4xb80-300e_coco-416.py']
