"""Operators of ``mmcv.ops`` without a compiler: torchvision's, or plain torch.

One file a family. Each function has the name, the arguments and the habits
(results written into tensors the caller made) of the compiled operator in
mmcv 2.1 that it stands in for; :mod:`.stand_in` gathers them as ``mmcv._ext``.
"""
