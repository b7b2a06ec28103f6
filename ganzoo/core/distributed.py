"""Data-parallel training in several processes (ranks). In a single process every function here is a no-op.

Every rank holds the same networks and a shard of every batch; gradients are averaged in one flattened buffer after each
backward pass. The result is that of DistributedDataParallel, without its hooks inside the backward pass, which support
neither a network that runs twice before its backward pass nor gradients of gradients.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from ganzoo.core.errors import GanzooError, TrainingError, UsageError

TIMEOUT = "GANZOO_TIMEOUT"
"""Environment variable: seconds after which an unresponsive rank counts as lost."""
TIMEOUT_SECONDS = 300.0
T = TypeVar("T")


class LostRankError(TrainingError):
    """Another rank died or did not respond in time."""

    on_every_rank = False


def rank() -> int:
    """The rank of this process; rank 0 writes all files."""
    return dist.get_rank() if _is_initialized() else 0


def size() -> int:
    """The number of ranks (world size)."""
    return dist.get_world_size() if _is_initialized() else 1


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """Join the process group of the ranks that torchrun or `ganzoo train --nproc` started; leave it at the end.

    CPU tensors use Gloo and GPU tensors NCCL; each rank takes one GPU of its machine. Raises LostRankError if the ranks
    cannot connect, UsageError for an invalid timeout.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1" or dist.is_initialized():
        with _said_once():
            yield
        return
    # Its default arguments are the process group at the time of its import, which torch.optim may trigger. Imported
    # later, it would keep the group and its threads, which can abort the process while the interpreter exits.
    import torch.distributed.nn.functional

    gpus = torch.cuda.device_count()
    if _local_rank() < gpus:
        torch.cuda.set_device(_local_rank())
    timeout = _timeout()
    try:
        store, number, ranks = next(rendezvous("env://", timeout=timeout))
        # torchrun keeps one store across restarts, with the addresses of former ranks
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") if os.environ.get("GROUP_WORLD_SIZE") == "1" else ""
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if gpus else "gloo",
            store=PrefixStore(f"attempt{attempt}", store),
            rank=number,
            world_size=ranks,
            timeout=timeout,
        )
    except (RuntimeError, ValueError) as failure:
        raise LostRankError(f"The ranks cannot connect: {_reason(failure)}.") from failure
    try:
        with _said_once():
            yield
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _said_once() -> Iterator[None]:
    """Mark errors that every rank raises as said by rank 0 on the other ranks."""
    try:
        yield
    except GanzooError as error:
        error.said_by_rank0 = error.on_every_rank and rank() > 0
        raise


def shard(batch: Tensor, parts: int = 1) -> Tensor:
    """This rank's rows of a global batch [N, ...], or of each of its equal `parts`, concatenated.

    Noise is drawn for the global batch and then sharded, so that N ranks process the same batch as one process.
    """
    each = len(batch) // (parts * size())
    rows: Tensor = batch.unflatten(0, (parts, size(), each))[:, rank()].flatten(0, 1)
    return rows


def check(batch_size: int, parts: int, pack: int, device: str) -> None:
    """Raise UsageError if the global batch cannot be split evenly, or if there are too few GPUs for the ranks."""
    if size() > 1 and device.startswith("cuda:"):
        raise UsageError(f"Device {device!r} is one GPU, but {size()} ranks take one each. Choose cuda.")
    if size() > 1 and device == "cuda" and (local := _local_rank()) >= (gpus := torch.cuda.device_count()):
        raise UsageError(f"This machine has {gpus} GPUs, too few for local rank {local}. Start fewer, or choose cpu.")
    check_shares(batch_size, size(), parts, pack)


def check_shares(batch_size: int, ranks: int, parts: int, pack: int) -> None:
    """Raise UsageError unless `batch_size` is a multiple of `ranks` times `parts` times `pack`."""
    shares = ranks * parts * pack
    if batch_size % shares:
        lower = batch_size // shares * shares
        nearest = " or ".join(str(n) for n in (lower, lower + shares) if n)
        factors = [f"the {ranks} ranks"] * (ranks > 1) + [f"accumulate={parts}"] * (parts > 1)
        factors += [f"pack={pack}"] * (pack > 1)
        raise UsageError(f"batch_size={batch_size} is not a multiple of {' times '.join(factors)}. Choose {nearest}.")


def all_reduce_mean(tensors: list[Tensor]) -> None:
    """Replace every tensor by its mean over the ranks, in place, in a single all-reduce."""
    if size() == 1:
        return
    buffer = torch.cat([tensor.flatten() for tensor in tensors])
    _all_reduce(buffer)
    parts = buffer.div_(size()).split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [part.view_as(tensor) for part, tensor in zip(parts, tensors)])


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """The sum over the ranks; differentiable any number of times."""
    if size() == 1:
        return tensor
    result: Tensor = _AllReduceSum.apply(tensor)  # type: ignore[no-untyped-call]
    return result


def all_reduce_max(number: int) -> int:
    """The maximum of the ranks' numbers, on every rank."""
    if size() == 1:
        return number
    box = torch.tensor(number)
    _all_reduce(box, dist.ReduceOp.MAX)
    return int(box)


def on_rank0(make: Callable[[], T]) -> T:
    """Run `make` on rank 0 and broadcast its result; if it raises a GanzooError, raise it on every rank."""
    if size() == 1:
        return make()
    box: list[Any] = [None]
    if rank() == 0:
        try:
            box = [make()]
        except GanzooError as error:
            box = [error]
    with _translate_failures():
        dist.broadcast_object_list(box)
    if isinstance(box[0], GanzooError):
        raise box[0]
    result: T = box[0]
    return result


def all_gather(tensor: Tensor) -> list[Tensor]:
    """The tensors of all ranks in rank order; all have the same shape and are on the CPU."""
    if size() == 1:
        return [tensor]
    result = [torch.empty_like(tensor) for _ in range(size())]
    with _translate_failures():
        dist.all_gather(result, tensor)
    return result


def check_same(tensors: Mapping[str, Tensor], step: int, plain: Mapping[str, Any] | None = None) -> None:
    """Compare checksums of every tensor, and of every `plain` value of `GAN.state`, between the ranks.

    Raises TrainingError for the first that differs.
    """
    if size() == 1:
        return
    device = next(iter(tensors.values())).device
    values = {f"state()[{name!r}]": _checksum_of_value(value).to(device) for name, value in (plain or {}).items()}
    tensors = {**tensors, **values}
    sums = torch.stack([_checksum(tensor) for tensor in tensors.values()])
    both = torch.stack([sums, -sums])
    _all_reduce(both, dist.ReduceOp.MAX)
    differs = (both[0] != -both[1]).tolist()
    if any(differs):
        name = list(tensors)[differs.index(True)]
        raise TrainingError(
            f"The ranks have diverged: after step {step} their values of {name} differ. Resume from the last "
            "checkpoint. Possible causes are a faulty machine, or a plugin that draws random numbers without sharding."
        )


class _AllReduceSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        result = tensor.clone()
        _all_reduce(result)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return all_reduce_sum(gradient)


def _is_initialized() -> bool:
    return dist.is_available() and dist.is_initialized()


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


def _timeout() -> datetime.timedelta:
    text = os.environ.get(TIMEOUT, str(TIMEOUT_SECONDS))
    try:
        seconds = float(text)
        if not 0 < seconds < 1e9:
            raise ValueError
    except ValueError:
        raise UsageError(f"{TIMEOUT}={text} is not valid: expected a number of seconds.") from None
    return datetime.timedelta(seconds=seconds)


def _all_reduce(tensor: Tensor, operation: Any = dist.ReduceOp.SUM) -> None:
    with _translate_failures():
        dist.all_reduce(tensor, operation)


@contextlib.contextmanager
def _translate_failures() -> Iterator[None]:
    """Turn torch's errors about another rank into a LostRankError."""
    try:
        yield
    except RuntimeError as failure:
        raise LostRankError(
            f"Rank {rank()} of {size()} lost another one: {_reason(failure)}. "
            "Start the same command with --resume to continue from the last checkpoint."
        ) from failure


def _reason(failure: Exception) -> str:
    """The first sentence of the message, without the location in torch's sources."""
    return re.sub(r"^\[\S+\] ", "", str(failure).splitlines()[0]).partition(". ")[0].rstrip(".")


def _checksum_of_value(value: Any) -> Tensor:
    """Eight bytes of a hash of numbers, strings, tensors, lists and dicts of them, as a tensor."""
    digest = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, Tensor):
            digest.update(part.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
        elif isinstance(part, Mapping):
            for name, inner in part.items():
                digest.update(repr(name).encode())
                add(inner)
        elif isinstance(part, (list, tuple)):
            for inner in part:
                add(inner)
        else:
            digest.update(repr(part).encode())

    add(value)
    return torch.tensor(int.from_bytes(digest.digest()[:8], "big", signed=True))


def _checksum(tensor: Tensor) -> Tensor:
    integers = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return tensor.detach().view(integers[tensor.element_size()]).sum(dtype=torch.int64)
