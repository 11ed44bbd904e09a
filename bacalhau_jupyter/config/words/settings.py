"""Settings of older versions: one row per meaning, with the key, flags and variables that named it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from bacalhau_jupyter.config.words.word import Kind, Standing, Values, Word
from bacalhau_jupyter.lib.truth import parse_truth


@dataclass(frozen=True)
class Setting:
    """One setting of older versions.

    Attributes
    ----------
    modern
        What to write today; empty where nothing replaced it.
    values
        Turns its value into those of config keys; None where it has no effect.
    key, flags, variables
        How it was spelt.
    switch
        Whether the flags take no value.
    sentence
        What became of it.
    where
        The verbs that take the flags.
    """

    modern: str
    values: Callable[[str], Values] | None
    key: str = ""
    flags: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    switch: bool = False
    sentence: str = ""
    where: tuple[str, ...] = ("serve",)

    def words(self) -> Iterator[Word]:
        """Return a word for each spelling; every key had a variable, too."""
        standing = Standing.REPLACED if self.values is None else Standing.RENAMED
        variables = [*self.variables, *([variable_of(self.key)] if self.key else [])]
        spellings = [
            *((Kind.KEY, name) for name in filter(None, [self.key])),
            *((Kind.FLAG, name) for name in self.flags),
            *((Kind.VARIABLE, name) for name in variables),
        ]
        for kind, name in spellings:
            yield Word(
                kind,
                name,
                standing,
                self.modern,
                self.sentence,
                where=self.where if kind is Kind.FLAG else (),
                values=self.values,
                is_switch=self.switch,
            )


def variable_of(key: str) -> str:
    """Return the variable that sets a key."""
    return "BACALHAU_" + key.upper().replace(".", "_")


def to(*keys: str) -> Callable[[str], Values]:
    """Hand a value on to config keys as it is."""
    return lambda text: dict.fromkeys(keys, text)


def _not(key: str) -> Callable[[str], Values]:
    def values(text: str) -> Values:
        truth = parse_truth(text)
        # A wrong value stays wrong, and is reported with the key.
        return {key: text if truth is None else str(not truth).lower()}

    return values


def _store_type(text: str) -> Values:
    return {"Node.Ephemeral": "true"} if text.strip().lower() in ("inmemory", "memory") else {}


def _store_path(text: str) -> Values:
    # A file was named; here the directory around it holds the databases.
    return {"Node.StateDir": str(PurePosixPath(text.strip()).parent)}


def _roles(text: str) -> Values:
    roles = {role.strip().lower() for role in text.split(",")}
    return {
        "Orchestrator.Enabled": str(bool(roles & {"requester", "orchestrator"})).lower(),
        "Compute.Enabled": str("compute" in roles).lower(),
    }


_IPFS = "InputSources.Types.IPFS.Endpoint"
_TO_IPFS = to(_IPFS, "Publishers.Types.IPFS.Endpoint", "ResultDownloaders.Types.IPFS.Endpoint")
_IPFS_TOO = "the keys of Publishers and ResultDownloaders get the same value"
_SWARM = "ResultDownloaders.Types.IPFS.Swarm"
_ADMISSION = "JobAdmissionControl"
_STORES = "state lies in SQLite databases, in the data directory or in Node.StateDir"
_LIMIT = "JobDefaults.Batch.Task.Timeouts.ExecutionTimeout"
_ANY = ("*",)
_GET = ("get", "job get")

_NETWORK = (
    Setting(_IPFS, _TO_IPFS, "Node.IPFS.Connect", (), ("IPFS_CONNECT",), sentence=_IPFS_TOO),
    Setting(
        f"{_SWARM}Addresses",
        to(f"{_SWARM}Addresses"),
        "Node.IPFS.SwarmAddresses",
        ("--ipfs-swarm-addrs",),
        ("BACALHAU_IPFS_SWARM_ADDRESSES",),
        where=_GET,
    ),
    Setting(
        f"{_SWARM}Key",
        to(f"{_SWARM}Key"),
        "Node.IPFS.SwarmKeyPath",
        ("--ipfs-swarm-key",),
        ("BACALHAU_IPFS_SWARM_KEY",),
        where=_GET,
    ),
    Setting("API.Host", to("API.Host"), "Node.ClientAPI.Host"),
    Setting("API.Port", to("API.Port"), "Node.ClientAPI.Port"),
    Setting("API.Host", to("API.Host"), "Node.ServerAPI.Host"),
    Setting("API.Port", to("API.Port"), "Node.ServerAPI.Port"),
    Setting(
        "API.Port",
        None,
        "Node.Client.API.Host",
        sentence="a slip of the documents; API.Host and API.Port name the API",
    ),
    Setting(
        "API.TLS.AutoCert",
        to("API.TLS.AutoCert"),
        "Node.ServerAPI.TLS.AutoCert",
        ("--autocert",),
        ("BACALHAU_AUTO_TLS",),
    ),
    Setting(
        "API.TLS.CertFile",
        to("API.TLS.CertFile"),
        "Node.ServerAPI.TLS.ServerCertificate",
        ("--tlscert",),
        ("BACALHAU_TLS_CERT",),
    ),
    Setting(
        "API.TLS.KeyFile",
        to("API.TLS.KeyFile"),
        "Node.ServerAPI.TLS.ServerKey",
        ("--tlskey",),
        ("BACALHAU_TLS_KEY",),
    ),
    Setting("WebUI.Enabled", to("WebUI.Enabled"), flags=("--web-ui",), switch=True),
    Setting("--data-dir", to("DataDir"), flags=("--repo",), where=_ANY),
    Setting(
        "Compute.Orchestrators",
        None,
        flags=("--peer",),
        sentence="no effect: a compute node joins the orchestrator that Compute.Orchestrators names, not peers",
        where=("serve", "devstack"),
    ),
    Setting(
        "",
        None,
        flags=("--private-internal-ipfs",),
        switch=True,
        sentence="a node brings no IPFS node of its own; --ipfs-connect names one",
    ),
)

_POLICY = (
    Setting(
        f"{_ADMISSION}.Locality",
        to(f"{_ADMISSION}.Locality"),
        "Node.Compute.JobSelection.Locality",
        ("--job-selection-data-locality",),
    ),
    Setting(
        f"{_ADMISSION}.ProbeExec",
        to(f"{_ADMISSION}.ProbeExec"),
        "Node.Compute.JobSelection.ProbeExec",
        ("--job-selection-probe-exec",),
    ),
    Setting(
        f"{_ADMISSION}.ProbeHTTP",
        to(f"{_ADMISSION}.ProbeHTTP"),
        "Node.Compute.JobSelection.ProbeHttp",
        ("--job-selection-probe-http",),
    ),
    Setting(
        f"{_ADMISSION}.RejectStatelessJobs",
        to(f"{_ADMISSION}.RejectStatelessJobs"),
        "Node.Compute.JobSelection.RejectStatelessJobs",
        ("--job-selection-reject-stateless",),
        switch=True,
    ),
    Setting(
        f"{_ADMISSION}.RejectNetworkedJobs",
        _not(f"{_ADMISSION}.RejectNetworkedJobs"),
        "Node.Compute.JobSelection.AcceptNetworkedJobs",
        ("--job-selection-accept-networked",),
        switch=True,
        sentence="with the opposite value",
    ),
    Setting(
        "Compute.AllowListedLocalPaths",
        to("Compute.AllowListedLocalPaths"),
        flags=("--allow-listed-local-paths",),
    ),
    Setting("Labels", to("Labels"), flags=("--labels",)),
    Setting("--orchestrator and --compute", _roles, flags=("--node-type",)),
)

_LIMITS = (
    *(
        Setting(
            f"Compute.AllocatedCapacity.{name}",
            to(f"Compute.AllocatedCapacity.{name}"),
            flags=(f"--limit-total-{name.lower()}",),
        )
        for name in ("CPU", "Memory", "Disk", "GPU")
    ),
    *(
        Setting(
            f"{_ADMISSION}.Max{name}",
            to(f"{_ADMISSION}.Max{name}"),
            flags=(f"--limit-job-{name.lower()}",),
        )
        for name in ("CPU", "Memory", "Disk", "GPU")
    ),
    Setting(
        f"{_ADMISSION}.MinTimeout",
        to(f"{_ADMISSION}.MinTimeout"),
        "Node.Compute.JobTimeouts.MinJobExecutionTimeout",
    ),
    Setting(
        f"{_ADMISSION}.MaxTimeout",
        to(f"{_ADMISSION}.MaxTimeout"),
        "Node.Compute.JobTimeouts.MaxJobExecutionTimeout",
        ("--max-job-execution-timeout",),
    ),
    *(
        Setting(
            _LIMIT,
            to(_LIMIT, "JobDefaults.Ops.Task.Timeouts.ExecutionTimeout"),
            key,
            sentence="that of JobDefaults.Ops gets the same value",
        )
        for key in (
            "Node.Compute.JobTimeouts.DefaultJobExecutionTimeout",
            "Node.Requester.Timeouts.DefaultJobExecutionTimeout",
        )
    ),
    Setting(
        _LIMIT,
        None,
        "Node.Requester.Timeouts.MinJobExecutionTimeout",
        sentence=f"a job keeps the time limit that it asks for; {_LIMIT} is for those that ask for none",
    ),
)

_STATE = (
    *(
        setting
        for what, key, flag in (
            ("COMPUTE", "Node.Compute.ExecutionStore", "--compute-execution-store"),
            ("JOB", "Node.Requester.JobStore", "--requester-job-store"),
        )
        for setting in (
            Setting(
                "Node.Ephemeral",
                _store_type,
                f"{key}.Type",
                (f"{flag}-type",),
                (f"BACALHAU_{what}_STORE_TYPE",),
                sentence=f"true for inmemory; otherwise {_STORES}",
            ),
            Setting(
                "Node.StateDir",
                _store_path,
                f"{key}.Path",
                (f"{flag}-path",),
                (f"BACALHAU_{what}_STORE_PATH",),
                sentence="the directory of that file holds all databases",
            ),
        )
    ),
    Setting(
        "DataDir",
        None,
        "Node.ComputeStoragePath",
        sentence="what executions write lies in compute/ of the data directory; set DataDir",
    ),
)

SETTINGS: tuple[Setting, ...] = (*_NETWORK, *_POLICY, *_LIMITS, *_STATE)
