"""Which jobs the node takes, and what a job that says nothing gets."""

from __future__ import annotations

from bacalhau_jupyter.config.key import HONOURED, Key, Kind, Standing, ignored

ADMISSION: tuple[Key, ...] = (
    Key(
        "JobAdmissionControl.Locality",
        Kind.TEXT,
        "anywhere",
        "Where inputs may be stored",
        HONOURED,
        choices=("anywhere", "local"),
        # What `-c` of the official program takes.
        aliases=(("0", "local"), ("1", "anywhere")),
    ),
    Key(
        "JobAdmissionControl.RejectStatelessJobs",
        Kind.FLAG,
        False,
        "Whether jobs without inputs are refused",
        HONOURED,
    ),
    Key(
        "JobAdmissionControl.RejectNetworkedJobs",
        Kind.FLAG,
        False,
        "Whether jobs with network access are refused",
        HONOURED,
    ),
    Key("JobAdmissionControl.ProbeHTTP", Kind.TEXT, "", "URL that decides whether a job is taken", HONOURED),
    Key(
        "JobAdmissionControl.ProbeExec",
        Kind.TEXT,
        "",
        "Command that decides whether a job is taken",
        HONOURED,
    ),
    *(
        Key(
            f"JobAdmissionControl.Max{name}",
            Kind.TEXT,
            "",
            f"Most {what} that one job may ask for: an amount, or a share of what all jobs may use",
            HONOURED,
            ours=True,
        )
        for name, what in (("CPU", "CPU"), ("Memory", "memory"), ("Disk", "disk"), ("GPU", "GPUs"))
    ),
    Key(
        "JobAdmissionControl.MinTimeout",
        Kind.DURATION,
        0.0,
        "Shortest time limit that a job may have; 0: any",
        HONOURED,
        ours=True,
    ),
    Key(
        "JobAdmissionControl.MaxTimeout",
        Kind.DURATION,
        0.0,
        "Longest time limit that a job may have, and then it needs one; 0: any, or none",
        HONOURED,
        ours=True,
    ),
)


QUEUE_TIMEOUT_S = 600.0
"""How long a job that names no queue time-out waits for a node with room."""

_WAITS_FOR_EVER = "a daemon job waits for nodes as long as it exists"


def _defaults_of(
    job_type: str, *, finite: bool, queue_s: float = QUEUE_TIMEOUT_S, queue: Standing = HONOURED
) -> tuple[Key, ...]:
    """Return the keys of one job type; jobs that are not ``finite`` have neither publisher nor time limits."""
    standing = HONOURED
    section, task = f"JobDefaults.{job_type}", f"JobDefaults.{job_type}.Task"
    keys = [
        Key(f"{section}.Priority", Kind.INTEGER, 0, "Default priority of a job", standing),
        Key(f"{task}.Resources.CPU", Kind.TEXT, "500m", "Default CPU of a task", standing),
        Key(f"{task}.Resources.Memory", Kind.TEXT, "512Mb", "Default memory of a task", standing),
        Key(f"{task}.Resources.Disk", Kind.TEXT, "", "Default disk of a task", standing),
        Key(f"{task}.Resources.GPU", Kind.TEXT, "", "Default GPUs of a task", standing),
    ]
    if finite:
        keys += [
            Key(f"{task}.Publisher.Type", Kind.TEXT, "", "Default publisher of a task", standing),
            Key(f"{task}.Publisher.Params", Kind.MAP, {}, "Parameters of that publisher", standing),
            Key(
                f"{task}.Timeouts.TotalTimeout",
                Kind.DURATION,
                0.0,
                "Default total time-out of a task",
                standing,
            ),
            Key(
                f"{task}.Timeouts.ExecutionTimeout",
                Kind.DURATION,
                0.0,
                "Default execution time-out of a task",
                standing,
            ),
        ]
    keys.append(
        Key(
            f"{task}.Timeouts.QueueTimeout",
            Kind.DURATION,
            queue_s,
            "How long a job that says nothing waits for a node with room; 0 fails at once",
            queue,
            ours=True,
        )
    )
    return tuple(keys)


DEFAULTS: tuple[Key, ...] = (
    *_defaults_of("Batch", finite=True),
    *_defaults_of("Ops", finite=True),
    *_defaults_of("Daemon", finite=False, queue_s=0.0, queue=ignored(_WAITS_FOR_EVER)),
    *_defaults_of("Service", finite=False),
)
