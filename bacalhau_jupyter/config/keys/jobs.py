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
)


_BATCH_ONLY = "this version runs batch jobs only"


def _defaults_of(job_type: str, standing: Standing, *, finite: bool) -> tuple[Key, ...]:
    """Return the keys of one job type; jobs that are not ``finite`` have neither publisher nor time limits."""
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
            0.0,
            "Default queue time-out of a task; 0 fails at once",
            standing,
            ours=True,
        )
    )
    return tuple(keys)


DEFAULTS: tuple[Key, ...] = (
    *_defaults_of("Batch", HONOURED, finite=True),
    *_defaults_of("Ops", ignored(_BATCH_ONLY), finite=True),
    *_defaults_of("Daemon", ignored(_BATCH_ONLY), finite=False),
    *_defaults_of("Service", ignored(_BATCH_ONLY), finite=False),
)
