# Entry point for UperNet on ADE20K: AnchorFormer-S, 160k iterations.
_base_ = ['./upernet/upernet_anchorformer-s_8xb2-160k_ade20k-512.py']
