"""What a user of the official SDK does, unmodified. Runs under the SDK's own Python; prints one JSON object.

Nothing here knows that the node is ours: the address comes from the SDK's own environment variables, no credential.
"""

# mypy: ignore-errors
import json
import sys
import time

from bacalhau_apiclient.api import ops_api, orchestrator_api
from bacalhau_apiclient.models.api_put_job_request import ApiPutJobRequest
from bacalhau_apiclient.models.job import Job
from bacalhau_apiclient.models.spec_config import SpecConfig
from bacalhau_apiclient.models.task import Task
from bacalhau_sdk.config import init_config
from bacalhau_sdk.jobs import Jobs

TERMINAL = ("Completed", "Failed", "Stopped")


def job(name, engine, params, publisher=None):
    task = Task(
        name="main",
        engine=SpecConfig(type=engine, params=params),
        publisher=publisher or SpecConfig(type="", params={}),
    )
    return Job(name=name, type="batch", count=1, tasks=[task], labels={"sdk": "yes"})


def wait(jobs, identifier):
    for _ in range(600):
        state = jobs.get(job_id=identifier).job.state.state_type
        if state in TERMINAL:
            return state
        time.sleep(0.1)
    raise SystemExit(f"the job did not end: {state}")


def main(engine, params, publisher):
    jobs = Jobs()
    put = jobs.put(
        ApiPutJobRequest(job=job("sdk-job", engine, params, SpecConfig(type=publisher, params={})))
    )
    report = {"state": wait(jobs, put.job_id), "job_id": put.job_id}
    got = jobs.get(job_id=put.job_id, include="executions,history")
    report["name"], report["engine"] = got.job.name, got.job.tasks[0].engine.type
    report["included"] = [len(got.executions.items), len(got.history.items)]
    execution = jobs.executions(job_id=put.job_id).items[0]
    report["compute_state"] = execution.compute_state.state_type
    report["exit_code"], report["stdout"] = execution.run_output.exit_code, execution.run_output.stdout
    report["history"] = [item.event.message for item in jobs.history(job_id=put.job_id).items]
    report["results"] = [item.to_dict() for item in jobs.results(job_id=put.job_id).items]
    report["listed"] = [item.id for item in jobs.list(limit=5, order_by="created_at", reverse=True).items]
    sleeper = jobs.put(ApiPutJobRequest(job=job("sdk-sleeper", "noop", {"Sleep": 600})))
    for _ in range(100):
        if jobs.get(job_id=sleeper.job_id).job.state.state_type == "Running":
            break
        time.sleep(0.1)
    report["stop_evaluation"] = jobs.stop(job_id=sleeper.job_id, reason="enough").evaluation_id
    stopped = jobs.get(job_id=sleeper.job_id).job.state
    report["stopped"] = [stopped.state_type, stopped.message]
    client = orchestrator_api.ApiClient(init_config())
    agent, orchestrator = ops_api.OpsApi(client), orchestrator_api.OrchestratorApi(client)
    report["alive"] = agent.agentalive()
    report["version"] = agent.agentversion().git_version
    report["agent"] = agent.agentnode().node_id
    # The SDK's node models look for lower-case members that no server sends: its raw answers are what can be used.
    nodes = json.loads(orchestrator.orchestratorlist_nodes(_preload_content=False).data)
    report["nodes"] = [item["Info"]["NodeID"] for item in nodes["Nodes"]]
    node = json.loads(orchestrator.orchestratorget_node(id=report["nodes"][0], _preload_content=False).data)
    report["node"] = node["Node"]["Info"]["NodeID"]
    sys.stdout.write("RESULT " + json.dumps(report) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3])
