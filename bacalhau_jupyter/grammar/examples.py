"""What people type: the examples that open each command's help. ``{program}`` is the program or magic."""

from __future__ import annotations

from collections.abc import Mapping

Example = tuple[str, str]
"""Lines to type, and what they do."""

CELL_FIRST: Example = (
    "%%bacalhau python\nprint('hello')",
    "a cell that begins like this runs as a job; %%bacalhau? shows how",
)
"""What opens the help of the line magic: most people look for this."""

EXAMPLES: Mapping[str, tuple[Example, ...]] = {
    "": (
        ("{program} docker run ubuntu -- echo hello", "run a container as a job"),
        ("{program} job list", "the latest jobs"),
        ("{program} attach", "the last job that was submitted from here"),
        ("{program} help docker run", "examples and flags of one command"),
    ),
    "docker": (("{program} docker run ubuntu -- echo hello", "run a container as a job"),),
    "docker run": (
        ("{program} docker run ubuntu -- echo hello", "run a command in an image"),
        (
            "{program} docker run -i 's3://sales/2026/*:/inputs' --memory 4gb python:3.12 -- python -c '…'",
            "with data of a bucket",
        ),
        (
            "{program} docker run --gpu 1 -e HF_TOKEN -p s3://results/{{jobID}} IMAGE -- train",
            "pass a variable on",
        ),
        ("{program} docker run --dry-run IMAGE -- train > job.txt", "show the spec, submit nothing"),
    ),
    "wasm": (
        ("{program} wasm run main.wasm", "run a module as a job"),
        ("{program} wasm validate main.wasm", "whether nodes can run it"),
    ),
    "wasm run": (
        ("{program} wasm run main.wasm -- one two", "a file from here, with arguments"),
        ("{program} wasm run -i data.csv s3://bucket/main.wasm", "a module of a bucket, with data"),
        ("{program} wasm run main.wasm -I math.wasm:math", "with a module that it imports as math"),
        ("{program} wasm run main.wasm --entry-point report", "call another function than _start"),
    ),
    "wasm validate": (
        ("{program} wasm validate main.wasm", "what it imports, exports and lacks"),
        ("{program} wasm validate main.wasm -I math.wasm:math", "with a module that it imports"),
    ),
    "job": (
        ("{program} job list", "the latest jobs"),
        ("{program} job describe j-1a2b3c4d", "everything about one"),
        ("{program} job get j-1a2b3c4d", "download its results"),
    ),
    "job run": (
        ("{program} job run job.yaml --follow", "submit a spec and show the job's output"),
        ("{program} job run job.yaml --dry-run", "what would change"),
        ("{program} job run job.yaml -V greet=hello", "fill in {{.greet}} of the spec"),
    ),
    "job list": (
        ("{program} job list --limit 50", "more of them"),
        ("{program} job list --labels team=sales --output json", "for a script"),
    ),
    "job describe": (
        ("{program} job describe j-1a2b3c4d", "state, history, code, inputs, output"),
        ("{program} job describe j-1a2b3c4d --output yaml", "the exact record"),
    ),
    "job logs": (
        ("{program} job logs j-1a2b3c4d", "what it has printed"),
        ("{program} job logs -f j-1a2b3c4d", "and what it prints from now on, until it ends"),
    ),
    "job get": (
        ("{program} job get j-1a2b3c4d", "all results, into ./job-j-1a2b3c4d"),
        ("{program} job get j-1a2b3c4d/outputs/table.csv", "one file"),
    ),
    "job stop": (("{program} job stop j-1a2b3c4d", "stop it and wait until it has stopped"),),
    "job versions": (("{program} job versions j-1a2b3c4d", "every version, and how it ended"),),
    "job rerun": (
        ("{program} job rerun j-1a2b3c4d", "run the newest version again"),
        ("{program} job rerun j-1a2b3c4d --version 2", "run that version again"),
    ),
    "job delete": (("{program} job delete j-1a2b3c4d j-5e6f7a8b", "delete jobs that are over"),),
    "job history": (("{program} job history j-1a2b3c4d", "what happened, in order"),),
    "attach": (
        ("{program} attach", "the last job that was submitted from here"),
        ("{program} attach j-1a2b3c4d", "any job"),
    ),
    "explain": (
        ("{program} explain j-1a2b3c4d", "why it waits, and what would make it run"),
        ("{program} explain", "the last job that was submitted from here"),
        ("{program} explain j-1a2b3c4d --output json", "for a script"),
    ),
    "job explain": (("{program} job explain j-1a2b3c4d", "the same as explain"),),
    "form": (
        ("{program} form", "build a job in a form (in a notebook)"),
        ("{program} form job.yaml", "fill the form with a spec"),
        ("{program} form j-1a2b3c4d", "fill it with an earlier job"),
    ),
    "node list": (
        ("{program} node list", "nodes with their free capacity"),
        ("{program} node list --labels zone=eu", "those with a label"),
    ),
    "cluster": (
        ("{program} cluster open", "let nodes of this machine join, over NATS"),
        ("{program} cluster open --host 0.0.0.0 --tls", "let nodes of other machines join, encrypted"),
        ("{program} cluster show", "how nodes join, and which way they have"),
    ),
    "cluster join": (
        ("{program} cluster join nats://127.0.0.1:4222", "run jobs of a cluster of this machine, too"),
        (
            "{program} cluster join nats://gpu-box.example:4222 --token-file cluster.token --ca-file ca.pem",
            "of one elsewhere, encrypted",
        ),
    ),
    "cluster leave": (("{program} cluster leave nats://gpu-box.example:4222", "run its jobs no more"),),
    "cluster open": (
        ("{program} cluster open", "for nodes of this machine"),
        ("{program} cluster open --host 0.0.0.0 --tls", "for nodes of other machines, encrypted"),
        ("{program} cluster open --host 0.0.0.0 --advertise gpu-box.example:4222", "behind another address"),
    ),
    "host": (
        ("{program} host add ssh://alice@gpu1", "let the Docker Engine of a GPU box run jobs"),
        ("{program} docker run --host gpu1 --gpu 1 ubuntu nvidia-smi", "run a job there"),
        ("{program} host list", "how the hosts are"),
    ),
    "host add": (
        ("{program} host add gpu1", "an alias of ~/.ssh/config"),
        ("{program} host add ssh://alice@gpu1 --dry-run", "try the way there, step by step"),
        ("{program} host add tcp://10.0.0.7:2376 --tls ~/certificates/gpu2 --name gpu2", "over TLS"),
        ("{program} host add --context lab", "a Docker context"),
    ),
    "host remove": (
        ("{program} host remove gpu1", "a host on which no jobs run"),
        ("{program} host remove gpu1 --jobs wait", "when those that run there have ended"),
    ),
    "host push": (("{program} host push gpu1 my-image:latest", "what it has already is not sent again"),),
    "image": (
        ("{program} image list", "images that the node keeps itself, and what they take"),
        ("{program} image pull python:3.12", "fetch one before a job needs it"),
        ("{program} image load tools.tar", "take what `docker save` wrote, or an OCI layout"),
        ("{program} image clean", "remove those that no job uses"),
    ),
    "run-notebook": (
        ("{program} run-notebook report.ipynb -p year=2026", "run it with a parameter; a copy comes back"),
        ("{program} run-notebook report.ipynb --image quay.io/jupyter/minimal-notebook", "in a container"),
    ),
    "completion": (('eval "$({program} completion bash)"', "TAB completes in this shell"),),
}

CELLS: Mapping[str, tuple[Example, ...]] = {
    "": (
        ("{program} python\nprint('hello')", "run the body in this kernel's environment, as a job"),
        (
            "{program} python --in frame --out top\ntop = frame.nlargest(10, 'revenue')",
            "variables go and come back",
        ),
        ("{program} sh -i 's3://sales/2026/*'\nwc -l inputs/*", "a shell script, where the data is"),
        ("{program} docker ubuntu -- echo hello", "a command in an image, no body"),
    ),
    "python": (
        (
            "{program} python --in frame --out top\ntop = frame.nlargest(10, 'revenue')",
            "variables go and come back",
        ),
        ("{program} python --image python:3.12 --memory 4gb\nimport sys; sys.version", "in a container"),
        ('{program} python --pip "polars>=1"\nimport polars', "with a package of the index"),
        ("{program} python --no-binary docopt\nimport docopt", "with one that has no wheel"),
        (
            "{program} python --sweep lr=0.1,0.01 --sweep depth=3,5 --out score\nscore = depth - lr",
            "a job per combination",
        ),
        ("{program} python --cache --out n\nn = 6 * 7", "an identical finished job answers at once"),
        ("{program} python -i data.csv --detach\nprint(open('inputs/data.csv').read())", "go on at once"),
    ),
    "sh": (
        (
            "{program} sh -i 's3://sales/2026/*'\nwc -l inputs/* > outputs/lines.txt",
            "what lies in outputs/ comes back",
        ),
    ),
    "sql": (
        ("{program} sql -i sales.csv --out top\nSELECT * FROM 'inputs/*.csv' LIMIT 10", "over files"),
        ("{program} sql --in frame\nSELECT region, sum(revenue) FROM frame GROUP BY region", "over a frame"),
    ),
    "bash": (("{program} bash\nset -o pipefail\nls | wc -l", "run the body with bash"),),
    "docker": (
        ("{program} docker ubuntu -- echo hello", "a command, no body"),
        (
            "{program} docker python:3.12\n#!/usr/bin/env python3\nprint('hello')",
            "the body runs by its first line",
        ),
    ),
    "wasm": (
        ("{program} wasm --module main.wasm -- one two", "a module of this machine, no body"),
        (
            '{program} wasm\n(module (func (export "_start")))',
            "the body is WebAssembly text, compiled here",
        ),
    ),
    "job": (("{program} job\nType: batch\nTasks:\n- …", "submit a spec in YAML"),),
}
