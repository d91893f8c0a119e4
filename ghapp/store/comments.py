"""Comments at the provider: those that ask, those that tell of a deploy, and where pull requests stand."""

from dataclasses import dataclass

from ghapp.store.base import Tx


@dataclass(frozen=True, slots=True)
class Asked:
    """A comment that asks for something. ``acted``: what it asks for was done; ``answered``: and said."""

    acted: bool
    answered: bool


@dataclass(frozen=True, slots=True)
class Telling:
    """Where a deploy is told of: a pull request by its number (None: to be found by the sha), once it is written a
    comment of Kedge's own, and the comment that asked for the deploy."""

    number: int | None
    comment_id: int | None
    asked_in: int | None
    shown_at: int | None


@dataclass(frozen=True, slots=True)
class Head:
    sha: str
    at: int


# Comments that ask


async def hear(tx: Tx, repository_id: int, comment_id: int, now: int) -> bool:
    """Remember a comment; was it new?"""
    changed = await tx.run(
        """INSERT INTO comments (repository_id, comment_id, heard_at) VALUES (:repository_id, :comment_id, :now)
           ON CONFLICT (repository_id, comment_id) DO NOTHING""",
        repository_id=repository_id,
        comment_id=comment_id,
        now=now,
    )
    return changed > 0


async def asked(tx: Tx, repository_id: int, comment_id: int) -> Asked:
    row = await tx.one(
        """SELECT acted_at, answered_at FROM comments
           WHERE repository_id = :repository_id AND comment_id = :comment_id""",
        repository_id=repository_id,
        comment_id=comment_id,
    )
    return Asked(bool(row and row["acted_at"]), bool(row and row["answered_at"]))


async def act(tx: Tx, repository_id: int, comment_id: int, now: int) -> None:
    """What the comment asks for is done in this transaction."""
    await tx.run(
        """UPDATE comments SET acted_at = :now
           WHERE repository_id = :repository_id AND comment_id = :comment_id AND acted_at IS NULL""",
        repository_id=repository_id,
        comment_id=comment_id,
        now=now,
    )


async def answer(tx: Tx, repository_id: int, comment_id: int, now: int) -> None:
    await tx.run(
        """UPDATE comments SET answered_at = :now
           WHERE repository_id = :repository_id AND comment_id = :comment_id AND answered_at IS NULL""",
        repository_id=repository_id,
        comment_id=comment_id,
        now=now,
    )


async def forget(tx: Tx, before: int) -> None:
    await tx.run("DELETE FROM comments WHERE heard_at < :before", before=before)


# Comments that tell of a deploy


async def follow(tx: Tx, deploy_id: int, number: int | None, asked_in: int | None) -> None:
    """Tell of the deploy from now on. What was known of where stays."""
    await tx.run(
        """INSERT INTO tellings (deploy_id, number, asked_in) VALUES (:deploy_id, :number, :asked_in)
           ON CONFLICT (deploy_id) DO UPDATE SET number = COALESCE(tellings.number, excluded.number),
             asked_in = COALESCE(tellings.asked_in, excluded.asked_in)""",
        deploy_id=deploy_id,
        number=number,
        asked_in=asked_in,
    )


async def telling(tx: Tx, deploy_id: int) -> Telling | None:
    row = await tx.one("SELECT * FROM tellings WHERE deploy_id = :deploy_id", deploy_id=deploy_id)
    return Telling(row["number"], row["comment_id"], row["asked_in"], row["shown_at"]) if row else None


async def shown(tx: Tx, deploy_id: int, number: int, comment_id: int, now: int) -> None:
    """The comment is there, and up to date as of now."""
    await tx.run(
        """UPDATE tellings SET number = :number, comment_id = :comment_id, shown_at = :now
           WHERE deploy_id = :deploy_id""",
        deploy_id=deploy_id,
        number=number,
        comment_id=comment_id,
        now=now,
    )


async def leave(tx: Tx, deploy_id: int) -> None:
    """Tell of the deploy no more."""
    await tx.run("DELETE FROM tellings WHERE deploy_id = :deploy_id", deploy_id=deploy_id)


# Pull requests


async def see_head(tx: Tx, repository_id: int, number: int, head: Head) -> None:
    """A pull request has this head since then. What happened earlier, and is heard of later, changes nothing."""
    await tx.run(
        """INSERT INTO heads (repository_id, number, sha, at) VALUES (:repository_id, :number, :sha, :at)
           ON CONFLICT (repository_id, number) DO UPDATE SET sha = excluded.sha, at = excluded.at
           WHERE heads.at <= excluded.at""",
        repository_id=repository_id,
        number=number,
        sha=head.sha,
        at=head.at,
    )


async def head(tx: Tx, repository_id: int, number: int) -> Head | None:
    """The newest head that was heard of."""
    row = await tx.one(
        "SELECT sha, at FROM heads WHERE repository_id = :repository_id AND number = :number",
        repository_id=repository_id,
        number=number,
    )
    return Head(row["sha"], row["at"]) if row else None
