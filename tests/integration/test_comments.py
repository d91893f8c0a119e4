"""Commands in comments on pull requests, end to end between the sandbox and the app, with every refusal's way on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ghapp.core.values import State
from ghapp.sandbox.faults import Drop
from ghapp.store import inbox
from tests.integration.comment_world import REPO, World, opened


@pytest.fixture
async def kedge(tmp_path: Path, database_url: str) -> AsyncIterator[World]:
    async with opened(tmp_path, database_url) as made:
        yield made


async def test_a_deploy_is_told_of_by_one_comment_that_follows_it(kedge: World) -> None:
    said = await kedge.say("Looks good.\r\n\r\n/deploy to staging\r\n")
    deploy = await kedge.deploy()
    assert (deploy.sha, deploy.ref, deploy.user, deploy.door) == (kedge.head, "feature", "ana", "comment")
    assert deploy.deployment_id
    assert said.reactions == ["eyes"]
    assert f"`{kedge.head[:7]}` (`feature`) to **staging**, asked for by ana" in said.answer
    await kedge.shows(said, "No runner has been seen yet")
    assert "`/cancel 1`" in said.answer
    running = await kedge.start()
    await kedge.shows(said, "Running on r1.")
    await kedge.finish(running)
    assert "Succeeded after" in said.answer
    assert "[Log](<http://kedge.example/hello/deploys/1>)" in said.answer
    assert "`/rollback staging`" in said.answer
    assert said.reactions == ["eyes", "rocket"]
    assert len(kedge.gh.comments(REPO, 1)) == 2


async def test_it_lists_what_ships(kedge: World) -> None:
    await kedge.say("/deploy to staging main")
    await kedge.finish(await kedge.start())
    said = await kedge.say("/deploy to staging")
    assert "Ships [1 commit since hello#1](<" in said.answer
    assert (
        f"`{kedge.head[:7]}`](<{kedge.gh.url}/acme/hello/commit/{kedge.head}>) Change the feature (ana)" in said.answer
    )
    await kedge.finish(await kedge.start(), exit_code=3)
    assert "the command ended with exit code 3" in said.answer
    assert f"`/deploy to staging {kedge.head}`" in said.answer
    assert said.reactions == ["eyes", "confused"]


async def test_edits_are_far_apart_but_for_the_last(kedge: World) -> None:
    said = await kedge.say("/deploy to staging")
    (comment,) = said.answers
    patches = [one for one in kedge.gh.requests if one.method == "PATCH"]
    assert patches == []
    running = await kedge.start()
    await kedge.quiet()
    assert [one for one in kedge.gh.requests if one.method == "PATCH"] == []
    await kedge.finish(running)
    paths = [one.path for one in kedge.gh.requests if one.method == "PATCH"]
    assert paths == [f"/repos/{REPO}/issues/comments/{comment.id}"]
    assert "Succeeded" in said.answer


async def test_the_answer_to_a_comment_was_lost(kedge: World) -> None:
    """The trace: GitHub wrote the comment, the connection broke, and a second one is written."""
    kedge.gh.faults.order("POST", rf"/repos/{REPO}/issues/1/comments", Drop(after=True), 1)
    said = await kedge.say("/deploy to staging")
    kedge.pass_s(5)
    await kedge.quiet()
    assert len(kedge.gh.comments(REPO, 1)) == 2
    copied = kedge.gh.comments(REPO, 1)[1].body
    kedge.gh.comment(REPO, 1, copied, by="mallory")
    running = await kedge.start()
    await kedge.finish(running)
    assert "Succeeded" in kedge.gh.comments(REPO, 1)[1].body
    assert kedge.gh.comments(REPO, 1)[2].body == copied
    assert said.reactions == ["eyes", "rocket"]


async def test_a_push_after_the_comment_is_not_deployed(kedge: World) -> None:
    kedge.gh.hooks.hold()
    kedge.pass_s(5)
    comment = kedge.gh.comment(REPO, 1, "/deploy to staging", by="ana")
    kedge.pass_s(5)
    evil = kedge.push("evil")
    kedge.gh.hooks.release()
    await kedge.quiet()
    assert await kedge.count() == 0
    answer = kedge.gh.comments(REPO, 1)[-1].body
    assert f"`/deploy to staging {evil}`" in answer
    assert set(kedge.gh.reactions(comment.id)) == {"eyes", "confused"}
    said = await kedge.say(f"/deploy to staging {evil}")
    assert (await kedge.deploy()).sha == evil
    assert said.reactions == ["eyes"]


@pytest.mark.parametrize(("suite_after_s", "deployed"), [(-1, 1), (0, 0), (1, 0)])
async def test_the_earliest_check_suite_tells_when_a_head_was_pushed(
    kedge: World, suite_after_s: int, deployed: int
) -> None:
    """The same second counts as not before."""
    kedge.pass_s(60)
    kedge.pass_s(suite_after_s)
    kedge.gh.add_check_suite(REPO, kedge.head)
    kedge.pass_s(-suite_after_s)
    await kedge.say("/deploy to staging", after_s=0)
    assert await kedge.count() == deployed


async def test_a_late_comment_asks_for_the_sha(kedge: World) -> None:
    kedge.gh.hooks.hold()
    for text in ("/deploy to staging", "/rollback staging", f"/deploy to staging {kedge.head[:8]}"):
        kedge.gh.comment(REPO, 1, text, by="ana")
    kedge.pass_s(11 * 60)
    kedge.gh.hooks.release()
    await kedge.quiet()
    assert await kedge.count() == 1
    late = [one.body for one in kedge.gh.comments(REPO, 1) if "written 11 minutes before" in one.body]
    assert f"`/deploy to staging {kedge.head}`" in late[0]
    assert "`/rollback staging`" in late[1]
    assert (await kedge.deploy()).sha == kedge.head


async def test_the_head_of_a_fork_only_by_its_whole_sha(kedge: World) -> None:
    gh = kedge.gh
    gh.fork(REPO, "mallory")
    evil = gh.commit("mallory/hello", "patch", {"x": "1"}, by="mallory")
    gh.open_pull_request(REPO, "patch", fork="mallory/hello", by="mallory")
    for text in ("/deploy to staging", f"/deploy to staging {evil[:7]}"):
        said = await kedge.say(text, number=2)
        assert "comes from a fork" in said.answer
        assert f"`/deploy to staging {evil}`" in said.answer
        assert said.reactions == ["eyes", "confused"]
    assert "no branch, tag or sha" in (await kedge.say("/deploy to staging pull/2/head", number=2)).answer
    assert await kedge.count() == 0
    await kedge.say(f"/deploy to staging {evil}", number=2)
    assert (await kedge.deploy()).sha == evil


async def test_who_is_not_heard(kedge: World) -> None:
    said = await kedge.say("/deploy to staging", by="mallory")
    assert (said.answers, said.reactions) == ([], ["confused"])
    bot = await kedge.say("/deploy to staging", by="renovate[bot]")
    talk = await kedge.say("I would not /deploy this\n> /deploy to staging\n\n```\n/deploy\n```\n/lgtm")
    edited = await kedge.say("later")
    kedge.gh.edit_comment(edited.comment.id, "/deploy to staging")
    await kedge.quiet()
    for one in (bot, talk, edited):
        assert (one.answers, one.reactions) == ([], [])
    assert await kedge.count() == 0


async def test_an_issue_is_answered_to_those_who_belong_here(kedge: World) -> None:
    kedge.gh.open_issue(REPO)
    said = await kedge.say("/deploy to staging", number=2)
    assert "This is an issue." in said.answer
    stranger = await kedge.say("/deploy to staging", number=2, by="mallory")
    assert (stranger.answers, stranger.reactions) == ([], ["confused"])


async def test_refusals_say_why_and_lead_on(kedge: World) -> None:
    kedge.gh.set_status(REPO, "feature", "ci", "failure")
    for text, by, why, way in (
        ("/deploy to production", "ana", "it takes olga", "/deploy to production"),
        ("/deploy to staging", "bob", "push permission on the repository", "/deploy to staging"),
        ("/deploy to stagin", "ana", "There is no environment stagin. Did you mean staging?", "/deploy to staging"),
        ("/deploy to europe", "ana", "is not on main", "/deploy to europe main"),
        ("/deploy to staging", "ana", "Check ci failed", "/deploy! to staging"),
        ("/deploy to staging nosuch", "ana", "There is no commit nosuch", "/status"),
        ("/deploy staging", "ana", "staging is an environment", "/deploy [app] [to env] [ref or sha]"),
        ("/deplyo", "ana", "Did you mean deploy?", "/deploy [app] [to env] [ref or sha]"),
        ("/deploy\n/status", "ana", "several commands", ""),
        ("/unlock staging", "ana", "There is no lock on staging", "/status"),
        ("/lock production", "ana", "it takes olga", "/lock production"),
        ("/lock staging for 2hours", "ana", "2hours is no duration", "/lock env [for 2h] [reason]"),
        ("/cancel 7", "ana", "hello has no deploy 7", "/status"),
        ("/force 7 lock", "ana", "hello has no deploy 7", "/status"),
        ("/rollback staging", "ana", "", "/status"),
        ("/resume stagin", "ana", "Did you mean staging?", "/resume staging"),
    ):
        said = await kedge.say(text, by=by)
        assert why in said.answer, text
        assert (not way) or f"`{way}`" in said.answer, (text, said.answer)
        assert said.reactions == ["eyes", "confused"], text
    assert await kedge.count() == 0
    await kedge.say("/deploy! to staging")
    assert (await kedge.deploy()).forced == {"checks"}


async def test_a_locked_environment_is_waited_for_and_opened(kedge: World) -> None:
    held = await kedge.say("/lock staging for 2h broken `db` @acme/ops <!-- x -->", by="olga")
    assert "staging is locked by olga since" in held.answer
    body = held.answers[0].body
    assert "@\u200bacme" in body
    assert r"\<!-- x --\>" in body
    assert held.reactions == ["eyes", "rocket"]
    said = await kedge.say("/deploy to staging")
    assert "staging is locked by olga" in said.answer
    assert "`/unlock staging`, `/force 1 lock`, `/cancel 1`" in said.answer
    assert "not your" not in said.answer
    refused = await kedge.say("/unlock staging")
    assert "takes admin permission" in refused.answer
    assert "`/unlock staging`" in refused.answer
    why = await kedge.say("/why")
    assert "hello#1" in why.answer and "staging is locked by olga" in why.answer
    queue = await kedge.say("/queue stg")
    assert "is number 1 in line: staging is locked by olga" in queue.answer
    await kedge.say("/unlock staging", by="olga")
    await kedge.later()
    assert "No runner" in said.answer


async def test_cancel_status_rollback_resume_force_help(kedge: World) -> None:
    await kedge.say("/deploy to staging main")
    await kedge.finish(await kedge.start())
    second = await kedge.say("/deploy to staging")
    await kedge.finish(await kedge.start())
    status = await kedge.say("/status")
    assert f"staging: hello#2 ({kedge.head[:7]}, by ana) is live since" in status.answer
    assert "production: nothing has been deployed yet." in status.answer
    third = await kedge.say("/rollback staging")
    assert ((await kedge.deploy(3)).task, (await kedge.deploy(3)).sha) == ("rollback", kedge.gh.sha(REPO))
    assert "rollback: " in third.answer
    cancelled = await kedge.say("/cancel 3")
    assert "hello#3 is cancelled." in cancelled.answer
    assert "Cancelled: by ana" in third.answer
    assert third.reactions == ["eyes", "confused"]
    again = await kedge.say("/cancel 3")
    assert "Too late: hello#3 was already cancelled." in again.answer
    assert "Automatic deploys to staging go on." in (await kedge.say("/resume staging")).answer
    kedge.gh.set_status(REPO, "feature", "ci", "pending")
    waiting = await kedge.say("/deploy to staging")
    await kedge.later()
    assert "Waiting for check ci." in waiting.answer
    assert "`/force 4`" in waiting.answer
    assert "hello#4 passes checks" in (await kedge.say("/force 4")).answer
    assert "| `/deploy [app] [to env] [ref or sha]` |" in (await kedge.say("/help")).answer
    assert "Succeeded" in (await kedge.say("/why 2")).answer
    assert "Succeeded" in second.answer


async def test_a_comment_is_acted_on_once(kedge: World) -> None:
    """Delivered twice, and again under another id; and heard again after the app died before it could answer."""
    kedge.gh.hooks.duplicate(2)
    said = await kedge.say("/deploy to staging")
    kedge.gh.hooks.duplicate(1)
    delivery = next(one for one in kedge.gh.hooks.log if one.event == "issue_comment")
    await _hear_again(kedge, delivery.body)
    assert (await kedge.count(), len(said.answers)) == (1, 1)
    locked = await kedge.say("/lock staging broken")
    await kedge.say("/unlock staging")
    again = next(one for one in reversed(kedge.gh.hooks.log) if f'"id":{locked.comment.id}' in one.body.decode())
    await kedge.ctx.stores.main.write(
        lambda tx: tx.run("UPDATE comments SET answered_at = NULL WHERE comment_id = :id", id=locked.comment.id)
    )
    await _hear_again(kedge, again.body)
    assert "It was done." in kedge.gh.comments(REPO, 1)[-1].body
    assert "is locked" not in (await kedge.say("/status")).answer
    await kedge.ctx.stores.main.write(
        lambda tx: tx.run("UPDATE comments SET answered_at = NULL WHERE comment_id = :id", id=said.comment.id)
    )
    kedge.push("later")
    await _hear_again(kedge, delivery.body)
    assert await kedge.count() == 1


async def _hear_again(kedge: World, body: bytes) -> None:
    guid, now = f"again-{kedge.clock[0]}-{len(body)}", kedge.clock[0]
    await kedge.ctx.stores.main.write(lambda tx: inbox.store(tx, "github", guid, "issue_comment", body, now))
    await kedge.quiet()


async def test_a_locked_conversation_hinders_no_deploy(kedge: World) -> None:
    kedge.gh.lock_conversation(REPO, 1)
    said = await kedge.say("/deploy to staging")
    assert (said.answers, said.reactions) == ([], [])
    running = await kedge.start()
    await kedge.finish(running)
    assert (await kedge.deploy()).state is State.SUCCEEDED


async def test_a_deleted_comment_is_not_written_again(kedge: World) -> None:
    said = await kedge.say("/deploy to staging")
    kedge.gh.delete_comment(said.answers[0].id)
    await kedge.finish(await kedge.start())
    assert len(kedge.gh.comments(REPO, 1)) == 1


async def test_github_is_asked_with_a_token_that_can_only_talk(kedge: World) -> None:
    await kedge.say("/deploy to staging")
    asked = [one.body for one in kedge.gh.requests if one.path.endswith("/access_tokens") and one.body]
    talking = [one["permissions"] for one in asked if "pull_requests" in one.get("permissions", {})]
    assert talking
    assert all(one == {"pull_requests": "write", "issues": "write", "checks": "read"} for one in talking)
