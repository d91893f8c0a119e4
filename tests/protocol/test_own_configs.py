"""What repositories define themselves: taken, refused with the line, withdrawn; and never more than their own."""

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from ghapp import wire
from ghapp.core.actors import ADMIN
from ghapp.core.remote import Forbidden, RateLimited, Unavailable
from ghapp.core.values import DESCRIPTION_LIMIT, Door, Repository
from ghapp.service import commanding, discovering, hearing, reload, seeing
from ghapp.service.context import Context
from ghapp.store import own_configs as stored
from ghapp.store import places
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.own_configs import OwnConfig
from ghapp.vcs.events import InstallationEvent, PushEvent
from runner import admission
from runner.secrets import Secrets
from tests.protocol.rig import CONFIG, SHA, Rig
from tests.protocol.test_hearing import event

OWN = Repository(21, "acme/own", "https://github.test/acme/own.git", "main", pushed_at=1)
OTHER = Repository(22, "acme/other", "https://github.test/acme/other.git", "main", pushed_at=1)
TEXT = """
web: {deploy: ./web.sh, environments: [staging, production]}
jobs: {deploy: ./jobs.sh, environments: [staging]}
"""


def sha_of(number: int) -> str:
    return f"{number:040x}"


async def push(rig: Rig, text: str | bytes | None, repository: Repository = OWN) -> str:
    """Change the file on the default branch; Kedge hears of it and looks."""
    data = text.encode() if isinstance(text, str) else text
    changes = rig.provider.changes.setdefault(repository.id, [])
    changes.append((sha_of(repository.id * 100 + len(changes)), data))
    if repository not in rig.provider.repositories:
        rig.provider.repositories.append(repository)
    await rig.hear(pushed(repository))
    await look(rig)
    return changes[-1][0]


def pushed(repository: Repository, **changes: Any) -> PushEvent:
    values: dict[str, Any] = {
        "repository": repository,
        "installation_id": 5,
        "branch": "main",
        "before": SHA,
        "after": "b" * 40,
        "forced": False,
        "message": "",
        "pusher": "ana",
        "paths": frozenset({".github/kedge.yml"}),
    }
    return PushEvent(**{**values, **changes})


async def look(rig: Rig) -> None:
    while await discovering.look_due(rig.ctx):
        pass
    await rig.deliver()


async def asked(rig: Rig, app: str = "web", repository: Repository = OWN, **changes: Any) -> Deploy:
    """A deployment of the repository; the deploy it becomes."""
    payload = {"app": app}
    return await rig.deployment(repository=repository, payload=payload, deployment_id=next(rig.ids) + 500, **changes)


def names(ctx: Context) -> dict[str, str]:
    return {name: app.defined_in for name, app in ctx.apps.configs.items()}


async def said(rig: Rig) -> list[str]:
    """What is told of files that were not taken."""
    return [one.said for one in await rig.ctx.stores.main.read(lambda tx: seeing.troubled(tx, ADMIN))]


async def blockers(rig: Rig, deploy: Deploy) -> list[tuple[str, str]]:
    return [(one.kind.value, one.message) for one in (await rig.get(deploy)).blockers]


async def test_only_a_runner_that_names_the_repository_runs_what_it_defines(rig: Rig) -> None:
    await push(rig, TEXT)
    assert names(rig.ctx) == {"hello": "operator", "web": "repository", "jobs": "repository"}
    deploy = await asked(rig)
    assert (deploy.defined_in, deploy.repository) == ("repository", "acme/own")
    message = "No runner accepts what acme/own defines itself; name acme/own in KEDGE_RUNNER_APPS of a runner."
    assert await blockers(rig, deploy) == [("runner", message)]
    for apps in (None, ["web"], ["acme/other"]):
        assert (await rig.claim(apps=apps))[0] == 204
    job = msgspec.convert(await rig.claimed(apps=["Acme/own"]), wire.Job)
    assert (job.defined_in, job.command) == ("repository", "./web.sh")
    for accepted, runs in ((None, False), (("web",), False), (("acme/own",), True)):
        assert (admission.refusals(job, runner="r", accepted=accepted, secrets=Secrets()) == []) is runs


async def test_a_retry_is_no_way_to_more(rig: Rig) -> None:
    await push(rig, TEXT)
    deploy = await asked(rig)
    await rig.cancel(deploy)
    again = await commanding.retry(rig.ctx, ADMIN, "web", deploy.number, key=None, door=Door.API)
    assert (again.defined_in, again.repository) == ("repository", "acme/own")


async def test_a_broken_file_changes_nothing_and_is_told_at_the_commit_that_broke_it(rig: Rig) -> None:
    await push(rig, TEXT)
    assert rig.provider.commit_statuses == []
    broken = await push(rig, TEXT + "  deplox: x\nlong: {deploy: x, " + "a" * 200 + ": 1}\n")
    assert set(names(rig.ctx)) == {"hello", "web", "jobs"}
    (status,) = rig.provider.commit_statuses
    assert (status.sha, status.state, status.context) == (broken, "error", "kedge/config")
    assert status.description.startswith("line 4: ")
    assert len(status.description) <= DESCRIPTION_LIMIT
    assert status.target_url == "https://kedge.test/jobs"
    assert all("line 4" in one for one in await said(rig))
    seen = await rig.ctx.stores.main.read(lambda tx: seeing.app(tx, rig.ctx, "web"))
    assert (seen.defined_in, seen.problem) == ("repository", (await said(rig))[0])
    await rig.hear(pushed(OWN))
    await look(rig)
    assert len(rig.provider.commit_statuses) == 1
    mended = await push(rig, "web: {deploy: ./new.sh}")
    assert [(one.sha, one.state) for one in rig.provider.commit_statuses[1:]] == [(mended, "success")]
    assert rig.ctx.apps.configs["web"].environments[0].deploy == "./new.sh"
    assert await said(rig) == []


async def test_the_first_file_may_be_broken(rig: Rig) -> None:
    await push(rig, b"\xff")
    (status,) = rig.provider.commit_statuses
    assert (status.description, status.target_url) == (
        "line 1: the file is not UTF-8 text; save it as UTF-8",
        "https://kedge.test",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: {deploy: x}\nhello: {deploy: x}", "line 2: hello: the operator's config has an app of this name"),
        ("web: {deploy: x}", "line 1: web: another repository has an app of this name"),
        ("tokens: {deploy: x}", "line 1: tokens: “tokens” is a reserved name"),
        ("a:\n  deploy: x\n  repository: acme/own", "line 3: a.repository: this file defines apps of acme/other only"),
        ("acme/own: {deploy: x}", "line 1: acme/own: this file defines apps of acme/other only"),
        ("a:\n  deploy: x\n  via: evil.package:Provider", "line 3: a.via: a repository's own file defines apps via"),
        ("# nothing", "line 1: defines no app"),
        ("a: {deploy: x}\n#" + "x" * 300_000, "line 1: "),
    ],
)
async def test_a_repository_may_define_only_what_is_its_own(rig: Rig, text: str, problem: str) -> None:
    await push(rig, TEXT)
    await push(rig, text, OTHER)
    (message,) = await said(rig)
    assert message.startswith(problem)
    assert rig.provider.commit_statuses[0].state == "error"
    assert not {app.own_id for app in rig.ctx.apps.configs.values()} & {OTHER.id}


async def test_its_own_name_and_provider_may_be_said(rig: Rig) -> None:
    await push(rig, "acme/other: {deploy: x}\nb: {deploy: x, via: github, repository: Acme/Other}", OTHER)
    assert names(rig.ctx) == {"hello": "operator", "other": "repository", "b": "repository"}


async def test_the_operator_takes_a_name_and_not_the_repository_that_had_it(rig: Rig) -> None:
    await push(rig, TEXT)
    deploy = await asked(rig)
    await rig.config(CONFIG + "web: {deploy: ./operators.sh}\n")
    assert names(rig.ctx) == {"hello": "operator", "web": "operator", "jobs": "repository"}
    assert await blockers(rig, deploy) == [
        ("config", "web is no longer defined by acme/own itself; cancel 1 and ask again.")
    ]
    assert (await rig.claim(apps=["acme/own"]))[0] == 204
    assert "the operator's config has an app of this name" in (await said(rig))[0]
    with pytest.raises(AssertionError, match="became no deploy"):
        await asked(rig)
    await rig.config(CONFIG)
    await look(rig)
    assert names(rig.ctx)["web"] == "repository"
    assert await rig.ready(deploy)


async def test_a_lock_that_was_asked_for_before_does_not_bind_the_operators_app(rig: Rig) -> None:
    await push(rig, TEXT)
    asked_for = event(repository=OWN, task="deploy:lock", payload={"app": "web"})
    plan = await hearing.prepare(rig.ctx, "github", asked_for)
    await rig.config(CONFIG + "web: {deploy: ./operators.sh, environments: [staging]}\n")
    await rig.ctx.decide(plan)
    bound = await rig.ctx.stores.main.read(lambda tx: places.repository_of_app(tx, "web"))
    assert bound is None, "what the operator deploys is not the repository's to name"


@pytest.mark.parametrize("text", ["shop: {deploy: x}", None])
async def test_a_name_that_is_given_up_goes_to_who_waits_for_it(rig: Rig, text: str | None) -> None:
    await push(rig, "web: {deploy: x}", OTHER)
    await push(rig, TEXT)
    assert "another repository has an app of this name" in (await said(rig))[0]
    await push(rig, text, OTHER)
    assert rig.ctx.apps.configs["web"].own_id == OWN.id
    assert await said(rig) == []


async def test_a_name_with_history_goes_back_to_whose_history_it_is(rig: Rig) -> None:
    """Whoever reads the other repository is not to read its logs, whichever is looked at first."""
    await push(rig, "web: {deploy: x, environments: [staging]}", OTHER)
    await asked(rig, repository=OTHER)
    await push(rig, TEXT)
    await rig.config(CONFIG + "web: {deploy: ./operators.sh}\n")
    await rig.config(CONFIG)
    await look(rig)
    assert rig.ctx.apps.configs["web"].own_id == OTHER.id
    assert "another repository has an app of this name" in (await said(rig))[0]


async def test_a_repository_defines_only_so_much(rig: Rig) -> None:
    """Every name is a row that everybody's pages read."""
    many = "".join(f"app{number}: {{deploy: x, environments: [a, b]}}\n" for number in range(101))
    await push(rig, many)
    assert await said(rig) == ["line 1: defines more than 200 environments, of all its apps; leave some out"]
    assert names(rig.ctx) == {"hello": "operator"}
    await push(rig, many.replace("app100: {deploy: x, environments: [a, b]}\n", ""))
    assert len(names(rig.ctx)) == 101


async def test_of_many_problems_the_first_are_told(rig: Rig) -> None:
    await push(rig, "".join(f"app{number}: {{deploi: x}}\n" for number in range(500)))
    (told,) = await said(rig)
    assert told.endswith("; and 383 more")
    assert told.count("line ") == 20


async def test_a_file_that_disappears_holds_what_waits(rig: Rig) -> None:
    await push(rig, TEXT)
    deploy = await asked(rig)
    job = await rig.claimed(apps=["acme/own"])
    gone = await push(rig, None)
    assert set(names(rig.ctx)) == {"hello"}
    status, answer = await rig.start(job)
    assert (status, answer["answer"]) == (200, "no")
    (blocker,) = await blockers(rig, deploy)
    why = f"acme/own defines no app itself any more: .github/kedge.yml was removed in {gone[:7]}."
    assert blocker == ("config", f"{why} Put that right, or cancel 1.")
    assert (await rig.claim(apps=["acme/own"]))[0] == 204
    await push(rig, "jobs: {deploy: x}", OTHER)  # nothing was ever deployed under that name
    await push(rig, "web: {deploy: x}", OTHER)  # that one has a history
    assert names(rig.ctx) == {"hello": "operator", "jobs": "repository"}
    await push(rig, "web: {deploy: ./web.sh}")
    assert await rig.ready(deploy)
    assert (await asked(rig, environment="production")).number == 2


async def test_an_app_that_is_left_out_is_held_and_the_others_go_on(rig: Rig) -> None:
    await push(rig, TEXT)
    web, jobs = await asked(rig), await asked(rig, "jobs")
    sha = await push(rig, "jobs: {deploy: ./jobs.sh, environments: [staging]}")
    assert await blockers(rig, web) == [
        ("config", f".github/kedge.yml of acme/own does not define web any more since {sha[:7]}. "
         "Put that right, or cancel 1.")
    ]  # fmt: skip
    assert await rig.ready(jobs)


async def test_uninstalled_it_is_out_of_force_and_comes_back_by_its_id_under_another_name(rig: Rig) -> None:
    await push(rig, TEXT)
    deploy = await asked(rig)
    rig.provider.repositories.clear()
    listing = rig.ctx.signals.watch(discovering.INSTALLATIONS)
    await rig.hear(InstallationEvent(5, "acme", removed=(OWN.id,)))
    assert listing.is_set()
    await discovering.discover(rig.ctx)
    assert set(names(rig.ctx)) == {"hello"}
    assert "Kedge may not use acme/own any more" in (await blockers(rig, deploy))[0][1]
    renamed = replace(OWN, full_name="acme/renamed")
    impostor = Repository(23, "acme/own", OWN.clone_url, "main")
    rig.provider.repositories += [renamed, impostor]
    rig.provider.changes[impostor.id] = [(sha_of(1), b"web: {deploy: ./evil.sh}")]
    await discovering.discover(rig.ctx)
    await look(rig)
    assert rig.ctx.apps.configs["web"].own_id == OWN.id
    assert rig.ctx.apps.configs["web"].repository == "acme/renamed"
    assert await rig.ready(deploy)
    assert (await rig.claim(apps=["acme/own"]))[0] == 204
    assert (await rig.claimed(apps=["acme/renamed"]))["repository"]["id"] == OWN.id
    assert "another repository has an app of this name" in (await said(rig))[0]


async def test_a_rename_alone_keeps_it_in_force_under_the_new_name(rig: Rig) -> None:
    await push(rig, TEXT)
    rig.provider.repositories[:] = [replace(OWN, full_name="acme/renamed")]
    await discovering.discover(rig.ctx)
    await look(rig)
    assert rig.ctx.apps.configs["web"].repository == "acme/renamed"
    deploy = await asked(rig, repository=rig.provider.repositories[0])
    assert (deploy.repository, rig.provider.reads) == ("acme/renamed", 1)


async def test_after_a_restart_it_is_in_force_whether_the_provider_answers_or_not(rig: Rig) -> None:
    await push(rig, TEXT)
    await push(rig, "broken", OTHER)
    before = rig.ctx
    ctx = Context(stores=before.stores, providers={}, url=before.url, lease_key=before.lease_key, now=before.now)
    await reload.put_in_force(ctx, CONFIG)
    assert names(ctx) == names(before)
    assert len(await said(rig)) == 1


@pytest.mark.parametrize(
    ("changes", "concerns"),
    [
        ({}, True),
        ({"branch": "feature"}, False),
        ({"paths": frozenset({"README.md"})}, False),
        ({"paths": frozenset({"README.md"}), "forced": True}, True),
        ({"paths": frozenset({"README.md"}), "before": None}, True),
        ({"paths": frozenset()}, True),
    ],
)
async def test_which_pushes_make_it_look(rig: Rig, changes: dict[str, Any], concerns: bool) -> None:
    assert await rig.hear(pushed(OWN, **changes)) is concerns


async def test_only_repositories_of_the_accounts_that_count(rig: Rig) -> None:
    rig.ctx.accounts = ("Acme",)
    evil = Repository(66, "evil/own", "https://github.test/evil/own.git", "main", pushed_at=1)
    rig.provider.changes[evil.id] = rig.provider.changes[OWN.id] = [(SHA, TEXT.encode())]
    rig.provider.repositories += [evil, OWN]
    await discovering.discover(rig.ctx)
    await rig.hear(pushed(evil))
    await look(rig)
    assert rig.ctx.apps.configs["web"].own_id == OWN.id
    rig.ctx.accounts = ()  # the App's owner is acme
    await rig.hear(pushed(evil))
    await look(rig)
    assert {app.own_id for app in rig.ctx.apps.configs.values()} == {None, OWN.id}
    rig.ctx.accounts = ("somebody",)
    await discovering.discover(rig.ctx)
    assert set(names(rig.ctx)) == {"hello"}


async def test_what_is_at_rest_is_not_asked_about_again(rig: Rig) -> None:
    await push(rig, TEXT)
    await discovering.discover(rig.ctx)
    await look(rig)
    await discovering.discover(rig.ctx)
    assert await discovering.look_due(rig.ctx) == 0
    rig.provider.repositories[:] = [replace(OWN, pushed_at=2)]
    await discovering.discover(rig.ctx)
    assert await discovering.look_due(rig.ctx) == 1
    assert rig.provider.reads == 1


async def test_what_is_wrong_with_the_operators_config_is_not_forgotten_over_a_repository_s(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile: list[asyncio.Task[None]] = []
    in_force = stored.in_force

    async def slowly(tx: Tx) -> list[OwnConfig]:
        meanwhile.append(asyncio.create_task(reload.put_in_force(rig.ctx, "hello: 5")))
        await asyncio.sleep(0)
        return await in_force(tx)

    monkeypatch.setattr(stored, "in_force", slowly)
    await push(rig, TEXT)
    await asyncio.gather(*meanwhile)
    assert rig.ctx.apps.problem is not None
    assert "web" in names(rig.ctx)


async def test_who_is_heard_of_while_it_lists_is_not_gone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def installed() -> list[Repository]:
        before = list(rig.provider.repositories)
        await push(rig, TEXT)
        return before

    monkeypatch.setattr(rig.provider, "installed", installed)
    await discovering.discover(rig.ctx)
    assert "web" in names(rig.ctx)


async def test_a_listing_that_fails_takes_nothing_for_gone(rig: Rig) -> None:
    await push(rig, TEXT)
    rig.provider.refusals.append(Unavailable("GitHub answered 502."))
    with pytest.raises(Unavailable):
        await discovering.discover(rig.ctx)
    assert "web" in names(rig.ctx)


async def test_what_cannot_be_read_is_told_and_tried_again_when_it_may_be(rig: Rig) -> None:
    rig.provider.refusals.append(Forbidden("Resource not accessible by integration."))
    await push(rig, TEXT)
    assert await said(rig) == [
        ".github/kedge.yml could not be read, so what was in force stays: Resource not accessible by integration."
    ]
    rig.provider.refusals.append(RateLimited("Too many calls.", retry_after_s=600))
    rig.clock[0] += 10_000
    await look(rig)
    rig.clock[0] += 590_000
    await look(rig)
    assert set(names(rig.ctx)) == {"hello"}
    rig.clock[0] += 10_000
    await look(rig)
    assert (set(names(rig.ctx)), await said(rig)) == ({"hello", "web", "jobs"}, [])


async def test_a_status_that_is_refused_is_told_where_the_problems_are(rig: Rig) -> None:
    rig.provider.changes[OWN.id] = [(SHA, b"web: 1")]
    rig.provider.repositories.append(OWN)
    await rig.hear(pushed(OWN))
    await discovering.look_due(rig.ctx)
    rig.provider.refusals += [Unavailable("lost"), Forbidden("Resource not accessible by integration.")]
    await rig.deliver()
    rig.clock[0] += 10_000
    await rig.deliver()
    assert "for which the App needs statuses:write: Resource not accessible" in (await said(rig))[0]
