# Entry point for AnchorFormer-S on ImageNet-1k, at 224 pixels.
_base_ = ['./anchorformer/anchorformer-s_8xb128-300e_in1k-224.py']
