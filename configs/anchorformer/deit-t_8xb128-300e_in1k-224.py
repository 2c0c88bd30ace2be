# DeiT-Ti (arXiv 2012.12877): row ViT in Table 4 of AnchorFormer.
_base_ = ['./deit-s_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(arch='tiny'), head=dict(in_channels=192))
