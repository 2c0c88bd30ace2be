"""Two processes with half of the tokens each, against one with all of them."""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from mmanchor.ops import anchor_attention, parallel_anchor_attention

SIZES = dict(batch=2, heads=3, num=11, anchors=5, width=8, v_width=6)
SPLIT = 4


def inputs():
    torch.manual_seed(0)
    shape = SIZES['batch'], SIZES['heads'], SIZES['num']
    keys = torch.randn(*shape, SIZES['width'], dtype=torch.float64)
    values = torch.randn(*shape, SIZES['v_width'], dtype=torch.float64)
    return keys, values, torch.randn(SIZES['anchors'], SIZES['width'], dtype=torch.float64)


def work(rank, store, results):
    dist.init_process_group(
        'gloo', f'file://{store}', rank=rank, world_size=2, timeout=timedelta(minutes=5)
    )
    sent, reduce = [], dist.all_reduce

    def counted(x, **options):
        sent.append(x.numel())
        return reduce(x, **options)

    dist.all_reduce = counted
    keys, values, anchors = inputs()
    own = slice(0, SPLIT) if rank == 0 else slice(SPLIT, None)
    own = [keys[:, :, own], values[:, :, own], anchors]
    own = [each.clone().requires_grad_() for each in own]
    out = parallel_anchor_attention(*own)
    grads = torch.autograd.grad(out.square().sum(), own)
    torch.save((out.detach(), grads, sent), f'{results}/{rank}.pt')
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    multiprocessing.spawn(work, (str(tmp_path / 'store'), str(tmp_path)), nprocs=2)
    parts = [torch.load(tmp_path / f'{rank}.pt') for rank in (0, 1)]
    whole = [each.requires_grad_() for each in inputs()]
    want = anchor_attention(*whole)
    grads = torch.autograd.grad(want.square().sum(), whole)
    torch.testing.assert_close(torch.cat([part[0] for part in parts], 2), want)
    for i in (0, 1):
        got = torch.cat([part[1][i] for part in parts], 2)
        torch.testing.assert_close(got, grads[i])
    torch.testing.assert_close(parts[0][1][2] + parts[1][1][2], grads[2])
    numbers = SIZES['batch'] * SIZES['heads'] * SIZES['anchors'] * (SIZES['v_width'] + 1)
    assert [part[2] for part in parts] == [[numbers, numbers]] * 2  # forward and backward
