"""Was what is at the head of a pull request there when somebody wrote about it?"""


def was_there(written_at: int, heard_of_at: int | None, told: tuple[str, int] | None, sha: str) -> bool:
    """Was the head ``sha`` pushed before a comment was written? Times are ms of the provider's clock, which tells whole
    seconds: the same second counts as not before.

    ``heard_of_at``: when the provider first asked for checks of the commit, which is at its push. ``told``: sha and
    time of the newest push to the pull request that events told of. A commit may have been pushed elsewhere long
    before, so that no push to the pull request may be later. Where neither is known, nothing speaks against it.
    """
    second = written_at // 1000
    if told and told[1] // 1000 >= second:
        return False
    if heard_of_at is not None:
        return heard_of_at // 1000 < second
    return told is None or told[0] == sha
