"""What torch has set for the whole process: the same for every run, whatever parts of an earlier one left there."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..threads import algebra_threads


@contextmanager
def settled(threads: int) -> Iterator[None]:
    """Run with torch's usual settings on `threads` threads, those of linear algebra too.

    A part that changes a setting so changes its own run only, and no result depends on which runs a process did before.
    """
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_float32_matmul_precision("highest")
    torch.set_flush_denormal(False)
    for device in ("cpu", "cuda"):
        torch.set_autocast_enabled(device, False)
    with algebra_threads(threads), torch.inference_mode(False), torch.enable_grad():
        yield
