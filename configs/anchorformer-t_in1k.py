# Entry point for AnchorFormer-T on ImageNet-1k, at 224 pixels.
_base_ = ['./anchorformer/anchorformer-t_8xb128-300e_in1k-224.py']
