# Sparsifiner-S that also prunes tokens: after layers 4, 7 and 10,
# 0.7, 0.7^2 and 0.7^3 of the patches are left.
_base_ = ['./sparsifiner-s_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(prune_after=(3, 6, 9), token_keep_rates=(0.7, 0.49, 0.343)))
