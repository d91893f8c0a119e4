"""Reading logs back, a bounded piece at a time: no transaction and no more than one piece is ever held."""

import io

import zstandard

from ghapp.core.logtext import decoded, whole_lines
from ghapp.service.context import Context
from ghapp.store import logs
from ghapp.store.base import StoreError
from ghapp.store.deploys import Deploy
from ghapp.store.logs import Chunk

#: Most bytes read, decompressed and held at a time.
PIECE = 1 << 18


class Gone(StoreError):
    """Bytes that were there are not, or not as they were stored."""


async def end(ctx: Context, deploy_id: int) -> int:
    """How many bytes of the log are there, from its beginning without a gap."""
    return await ctx.stores.logs.read(lambda tx: logs.end(tx, deploy_id))


async def piece(ctx: Context, deploy_id: int, start: int, stop: int, most: int = PIECE) -> bytes:
    """At least one byte from ``start`` on, at most ``most`` and none from ``stop`` on. Raises Gone, Unavailable."""
    chunk = await ctx.stores.logs.read(lambda tx: logs.chunk_at(tx, deploy_id, start))
    if chunk is None:
        raise Gone(f"Byte {start} of the log is not stored any more.")
    return plain(chunk, start - chunk.start, min(stop - start, most, chunk.start + chunk.length - start))


def plain(chunk: Chunk, skip: int, size: int) -> bytes:
    """``size`` bytes of the chunk after the first ``skip``. Raises Gone where it holds less than it says."""
    found = _inflated(chunk.body, skip, size) if chunk.codec == "zstd" else chunk.body[skip : skip + size]
    if len(found) != size:
        raise Gone(f"The chunk of the log at byte {chunk.start} is damaged.")
    return found


def _inflated(body: bytes, skip: int, size: int) -> bytes:
    """Only as far as it is needed, whatever the frame claims."""
    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
            if skip:
                reader.seek(skip)
            return reader.read(size)
    except zstandard.ZstdError as error:
        raise Gone("A chunk of the log cannot be decompressed.") from error


def complete(deploy: Deploy, stored_end: int) -> bool:
    """Has it ended, and is everything there that its runner said the log has?"""
    return deploy.state.terminal and stored_end >= (deploy.log_end or 0)


async def tail(ctx: Context, deploy: Deploy, most: int) -> tuple[str, int, int]:
    """The last ``most`` bytes as text, from a whole line on; where in the log they begin and where they stop."""
    stored = await end(ctx, deploy.id)
    start = at = max(0, stored - most)
    data = bytearray()
    while at < stored:
        data += await piece(ctx, deploy.id, at, stored)
        at = start + len(data)
    shown = whole_lines(bytes(data)) if start else bytes(data)
    text, taken = decoded(shown, last=complete(deploy, stored))
    start = stored - len(shown)
    return text, start, start + taken
