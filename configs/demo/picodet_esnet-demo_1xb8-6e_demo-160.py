# The demo's detector with plain ESNet, trained the same way.
_base_ = ['./picodet_anchorformer-demo_1xb8-6e_demo-160.py']
model = dict(backbone=dict(type='mmanchor.ESNet'))
