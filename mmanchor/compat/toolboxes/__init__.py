"""What is changed in mmcv, mmdet, mmseg and mmpretrain, and why."""
