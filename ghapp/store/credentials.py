"""The GitHub App's credentials, sealed, where no disk lasts that a file could be kept on."""

from ghapp.store.base import Tx


async def keep(tx: Tx, provider: str, sealed: bytes, now: int) -> bool:
    """One set for each provider; False where there is one, which stays."""
    changed = await tx.run(
        """INSERT INTO credentials (provider, sealed, kept_at) VALUES (:provider, :sealed, :now)
           ON CONFLICT (provider) DO NOTHING""",
        provider=provider,
        sealed=sealed,
        now=now,
    )
    return changed > 0


async def kept(tx: Tx, provider: str) -> bytes | None:
    row = await tx.one("SELECT sealed FROM credentials WHERE provider = :provider", provider=provider)
    return bytes(row["sealed"]) if row else None
