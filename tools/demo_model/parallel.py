# SPDX-License-Identifier: Apache-2.0
"""Data-parallel training in a few processes; each computes its share of the batch on one thread."""
import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

WORKERS = 2


def _start(rank, rendezvous, function, arguments):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method="file://" + rendezvous, rank=rank, world_size=WORKERS)
    function(*arguments)
    dist.barrier()


def run(function, *arguments):
    """Runs function(*arguments) in WORKERS processes that share the work of every batch."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_start, (folder + "/rendezvous", function, arguments), nprocs=WORKERS)


def rank():
    return dist.get_rank() if dist.is_initialized() else 0


def share(items):
    """The part of a batch that this process works on."""
    return items[dist.get_rank()::dist.get_world_size()] if dist.is_initialized() else items


def average_gradients(parameters):
    """Mean of the gradients over the processes."""
    if not dist.is_initialized():
        return
    grads = [p.grad for p in parameters]
    flat = torch.cat([g.flatten() for g in grads])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    at = 0
    for g in grads:
        g.copy_(flat[at:at + g.numel()].view_as(g))
        at += g.numel()


def log(text):
    """Prints from the first process only."""
    if rank() == 0:
        print(text, flush=True)
