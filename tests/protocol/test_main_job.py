"""From a GitHub deployment to its final status, as the runner's calls drive it."""

from tests.protocol.rig import Rig


async def test_a_deployment_runs_and_succeeds(rig: Rig) -> None:
    deploy = await rig.deployment()
    assert deploy.state == "queued"
    await rig.deliver()
    job = await rig.claimed()
    assert job["command"] == f"./deploy.sh staging {deploy.sha}"
    await rig.deliver()
    status, answer = await rig.start(job)
    assert (status, answer["answer"], answer["status"]["state"]) == (200, "yes", "in_progress")
    assert answer["status"]["log_url"] == "https://kedge.test/hello/deploys/1"
    assert (await rig.beat(job, status_written="in_progress"))[0] == 200
    assert await rig.log(job, 0, b"hello\n") == (200, {"end": 6})
    status, answer = await rig.finish(job, log_end=6)
    assert (status, answer["state"], answer["status"]["state"]) == (200, "succeeded", "success")
    await rig.finish(job, log_end=6, status_written="success")
    ended = await rig.get(deploy)
    assert (ended.state, ended.shown_state, ended.status_writer) == ("succeeded", "success", None)
    assert rig.shown(deploy) == ["queued", "pending"]  # the rest was the runner's to write
