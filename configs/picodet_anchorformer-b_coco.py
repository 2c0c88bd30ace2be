# Entry point for PicoDet with AnchorFormer-B on COCO, at 416 pixels.
_base_ = ['./picodet/picodet_anchorformer-b_8xb48-250e_coco-416.py']
