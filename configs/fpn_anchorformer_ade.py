# Entry point for Semantic-FPN on ADE20K: AnchorFormer-S, 40k iterations.
_base_ = ['./semantic_fpn/fpn_anchorformer-s_8xb4-40k_ade20k-512.py']
