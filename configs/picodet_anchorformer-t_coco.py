# Entry point for PicoDet with AnchorFormer-T on COCO, at 416 pixels.
_base_ = ['./picodet/picodet_anchorformer-t_4xb80-300e_coco-416.py']
