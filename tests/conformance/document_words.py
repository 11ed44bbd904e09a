"""Write down the words of older documents: ``python -m tests.conformance.document_words DIRECTORY``.

``tests/data/document-words.json`` has, by kind, what is found in the text files of the directory, and what completes
it: the pages lost the blocks that held most commands.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

FILE = Path(__file__).parents[1] / "data" / "document-words.json"

_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*\*?")
_VARIABLE = re.compile(r"(?<![\w<])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w>])")
_KEY = re.compile(r"Node(?:\.[A-Z]\w*)+")
_FILE = re.compile(r"(?:~/\.)?[\w/.]*\w\.(?:pem|rego|yaml|json|db|key|cert|version)(?![\w/.]*\w)")
_COMMAND = re.compile(r"bacalhau ([a-z]+)(?: (run|get|list|logs|stop|describe))?(?![\w-])")
_TITLE = re.compile(r"• (Agent|Config|Job|Node) ([A-Z][A-Za-z-]+)$", re.MULTILINE)

_NO_VARIABLES = {"BUCKET_NAME", "JOB_ID", "MY_NODE_PUBLIC_IP"}
"""What stands for a value."""
_NO_VERBS = {
    "binary",
    "can",
    "client",
    "clusters",
    "command",
    "compute",
    "docker",
    "job",
    "node",
    "process",
    "repository",
}
"""Words behind the program's name that are no verbs, or only the group of one."""
_NO_TITLES = {
    "Endpoint",
    "Guide",
    "Management",
    "Onboarding",
    "Overview",
    "Queuing",
    "Results",
    "Specification",
    "Templates",
    "Types",
}

COMPLETED: dict[str, list[str]] = {
    "Verbs": ["cancel", "create", "describe", "list", "logs", "devstack", "version", "exec", "id", "job run"],
    "Flags": [
        "--api-port",
        "--compute",
        "--concurrency",
        "--config",
        "--data-dir",
        "--id-only",
        "--limit-job-cpu",
        "--limit-job-disk",
        "--limit-job-gpu",
        "--limit-job-memory",
        "--limit-total-cpu",
        "--limit-total-disk",
        "--limit-total-gpu",
        "--limit-total-memory",
        "--orchestrator",
        "--output-dir",
        "--private-internal-ipfs",
        "--profile",
        "--publisher",
        "--selector",
        "--template-envs",
        "--template-vars",
        "--tlscert",
        "--tlskey",
        "--wait",
        "--web-ui",
    ],
    "Variables": [
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_SESSION_TOKEN",
        "BACALHAU_API_HOST",
        "BACALHAU_API_KEY",
        "BACALHAU_API_PASSWORD",
        "BACALHAU_API_PORT",
        "BACALHAU_API_USERNAME",
        "BACALHAU_HTTPS",
        "BACALHAU_PROFILE",
        "BACALHAU_UPDATE_CHECKER_ENDPOINT",
        "BACALHAU_UPDATE_CHECKER_TEST",
        "DEBUG",
        "DEVSTACK_ENV_FILE",
        "HOME",
        "IGNORE_PID_AND_PORT_FILES",
        "SKIP_IMAGE_PULL",
    ],
    "Config keys": [
        "Node.ClientAPI.Port",
        "Node.ComputeStoragePath",
        "Node.Compute.JobTimeouts.DefaultJobExecutionTimeout",
        "Node.Compute.JobTimeouts.MaxJobExecutionTimeout",
        "Node.Compute.JobTimeouts.MinJobExecutionTimeout",
        "Node.Requester.Timeouts.DefaultJobExecutionTimeout",
        "Node.Requester.Timeouts.MinJobExecutionTimeout",
        "Node.ServerAPI.Host",
        "Node.ServerAPI.Port",
    ],
    "Files": [
        "autocert-cache",
        "executor_storages",
        "installation_id",
        "jwt-tokens.json",
        "libp2p_private_key",
        "plugins",
        "profiles",
        "swarm.key",
        "system_metadata.yaml",
        "~/.aws/credentials",
    ],
}
"""From the reference of the API, the official help, and what the pages say in words."""


def load() -> dict[str, list[str]]:
    """Return the words by kind."""
    words: dict[str, list[str]] = json.loads(FILE.read_text())
    return words


def collect(texts: list[str]) -> dict[str, list[str]]:
    """Return the words of some texts, by kind, completed."""
    text = "\n".join(texts)
    keys = set(_KEY.findall(text))
    titles = {f"{group} {name}".lower() for group, name in _TITLE.findall(text) if name not in _NO_TITLES}
    commands = {
        f"{verb} {under}".strip() for verb, under in _COMMAND.findall(text) if under or verb not in _NO_VERBS
    }
    files = {name.rpartition("/")[2] for name in _FILE.findall(text)}
    words = {
        "Verbs": titles | commands,
        "Flags": {name for name in _FLAG.findall(text) if not name.endswith("*")},
        "Variables": set(_VARIABLE.findall(text)) - _NO_VARIABLES,
        "Config keys": {key for key in keys if not any(other.startswith(f"{key}.") for other in keys)},
        "Files": files,
    }
    return {kind: sorted(words[kind] | set(COMPLETED[kind])) for kind in words}


if __name__ == "__main__":
    pages = [path.read_text() for path in sorted(Path(sys.argv[1]).glob("*.txt"))]
    FILE.write_text(json.dumps(collect(pages), indent=1) + "\n")
