"""From config keys to the settings of each role; refuses what this version does not support."""

from __future__ import annotations

import os
from pathlib import Path

from bacalhau_jupyter._version import __version__
from bacalhau_jupyter.api.app import features_of
from bacalhau_jupyter.compute.host.ports import END_KEY, START_KEY, check_range
from bacalhau_jupyter.compute.settings import AdmissionSettings, ComputeSettings, Locality
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.files import expanded
from bacalhau_jupyter.config.quotas import quotas_of
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.nearby import is_loopback
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig
from bacalhau_jupyter.node.addresses import DEFAULT_ADDRESS, LinkAddress
from bacalhau_jupyter.node.cluster import far
from bacalhau_jupyter.node.cluster import plan as link_plan
from bacalhau_jupyter.node.joining.elsewhere import KEY as ORCHESTRATORS
from bacalhau_jupyter.node.joining.elsewhere import Elsewhere
from bacalhau_jupyter.node.roles.trust import check_authentication
from bacalhau_jupyter.node.version import build_version
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from bacalhau_jupyter.tls import settings as encryption
from bacalhau_jupyter.transfer.core.reach import KEY as ADDRESSES
from bacalhau_jupyter.transfer.core.reach import Reach
from bacalhau_jupyter.transfer.s3.links.managed import ManagedBucket, managed_location
from bacalhau_jupyter.transfer.s3.links.presign import S3Presigner
from bacalhau_jupyter.transfer.s3.requests.access import S3Access

COMPONENT = "Config"


def check(config: Config) -> None:
    """Refuse a configuration that this version can't honour.

    Raises
    ------
    ConfigurationError
        A key is set that has no effect here, the roles need a network between nodes, or a managed bucket or
        single sign-on is described by halves.
    """
    refused = [key for key in config.changed() if key.is_refused]
    if refused:
        # A security setting that silently does nothing would be worse than a node that does not start.
        first, names = refused[0], ", ".join(key.name for key in refused)
        raise ConfigurationError(
            f"this version can't honour {names}: {first.standing.reason}",
            hint=f"remove it from {config.source(first.name)}; `bacalhau-jupyter config list` shows what each key does",
        )
    _check_roles(config)
    if config["Orchestrator.Scheduler.WorkerCount"] < 1:
        raise ConfigurationError("Orchestrator.Scheduler.WorkerCount must be 1 or more")
    quotas_of(config)
    managed_bucket(config, None)
    port_range(config)
    reach(config)
    s3_access(config)
    link_address(config)
    link_plan.check(config)
    far.check(config)
    check_authentication(config)
    encryption.check(config)


def _check_roles(config: Config) -> None:
    if not config["Orchestrator.Enabled"]:
        if not config["Compute.Enabled"]:
            raise ConfigurationError(
                "a node places jobs or runs them, and this one is to do neither",
                hint="bacalhau-jupyter serve --orchestrator --compute does both",
            )
        Elsewhere.of(config)
    elif (
        config["Compute.Enabled"] and config.source(ORCHESTRATORS) != "default" and not _joins_itself(config)
    ):
        raise ConfigurationError(
            f"{ORCHESTRATORS} names another orchestrator than that of this node, which its compute role joins",
            hint="leave out --orchestrator for a node that only runs jobs; "
            "`bacalhau-jupyter cluster join URL` offers a machine to two orchestrators",
        )


def _joins_itself(config: Config) -> bool:
    """Whether ``Compute.Orchestrators`` says only that the compute role joins the orchestrator of this process."""
    own = f"nats://127.0.0.1:{config['Orchestrator.Port']}"
    return bool(config[ORCHESTRATORS] == [own])


def node_name(config: Config, repo: Repo, requested_name: str = "") -> str:
    """Return the node's name, which a repo keeps for good.

    Raises
    ------
    ConfigurationError
        ``requested_name`` differs from the name that the repo's node has, or no name can be had.
    """
    name = (
        repo.node_name("uuid", lambda: requested_name)
        if requested_name
        else repo.node_name(config["NameProvider"])
    )
    if requested_name and name != requested_name:
        raise ConfigurationError(
            f"the node of {repo.path} is called {name} already, so it can't become {requested_name}",
            hint="Leave out --name, or choose another data directory.",
        )
    return name


def orchestrator_settings(config: Config, repo: Repo, node_id: str) -> OrchestratorSettings:
    """Read what the orchestrator needs from the configuration; the repo knows which instance it is."""
    return OrchestratorSettings(
        node_id=node_id,
        instance_id=repo.instance_id(),
        manual_approval=config["Orchestrator.NodeManager.ManualApproval"],
        disconnect_timeout_s=config["Orchestrator.NodeManager.DisconnectTimeout"],
        execution_grace_s=config["Orchestrator.Scheduler.HousekeepingTimeout"],
        job_defaults=config.job_defaults(),
        quotas=quotas_of(config),
        workers=config["Orchestrator.Scheduler.WorkerCount"],
    )


def compute_settings(config: Config, repo: Repo, node_id: str) -> ComputeSettings:
    """Read what the compute role needs from the configuration, resolving its directory."""
    names = ("CPU", "Memory", "Disk", "GPU")
    capacity = {name: config[f"Compute.AllocatedCapacity.{name}"] for name in names}
    most = {name: config[f"JobAdmissionControl.Max{name}"] for name in names}
    return ComputeSettings(
        node_id=node_id,
        data_dir=compute_dir(config, repo),
        disk_reserve=config["Node.DiskReserve"],
        labels=config["Labels"],
        allocated=ResourcesConfig(
            cpu=capacity["CPU"], memory=capacity["Memory"], disk=capacity["Disk"], gpu=capacity["GPU"]
        ),
        admission=AdmissionSettings(
            reject_networked_jobs=config["JobAdmissionControl.RejectNetworkedJobs"],
            reject_stateless_jobs=config["JobAdmissionControl.RejectStatelessJobs"],
            locality=Locality(config["JobAdmissionControl.Locality"]),
            probe_exec=config["JobAdmissionControl.ProbeExec"],
            probe_http=config["JobAdmissionControl.ProbeHTTP"],
            max_resources=ResourcesConfig(
                cpu=most["CPU"], memory=most["Memory"], disk=most["Disk"], gpu=most["GPU"]
            ),
            min_timeout_s=config["JobAdmissionControl.MinTimeout"],
            max_timeout_s=config["JobAdmissionControl.MaxTimeout"],
        ),
        env_allow_list=tuple(config["Compute.Env.AllowList"]),
        version=build_version(),
        jupyter_version=__version__,
        features=tuple(features(config)),
        heartbeat_interval_s=config["Compute.Heartbeat.Interval"],
        info_interval_s=config["Compute.Heartbeat.InfoUpdateInterval"],
        log_limit=config["Compute.LogLimit"],
        input_cache_size=config["Compute.InputCache.Size"],
        input_cache_min_free=config["Compute.InputCache.MinFree"],
        port_range=port_range(config),
        address=config["Compute.Network.AdvertisedAddress"],
        # Where nobody else reaches the node, nobody else reaches its jobs, unless they ask for it.
        port_address=DEFAULT_ADDRESS if is_loopback(config["API.Host"]) else "",
    )


def port_range(config: Config) -> tuple[int, int]:
    """Return the first and the last port for jobs that name none; raises ConfigurationError for an empty range."""
    first, last = (int(config[key]) for key in (START_KEY, END_KEY))
    check_range(first, last)
    return first, last


def features(config: Config) -> list[str]:
    """Return what the API of this node offers beyond the official one."""
    return features_of(places_jobs=config["Orchestrator.Enabled"])


def compute_dir(config: Config, repo: Repo) -> Path:
    """Return where executions and results lie."""
    state = config["Node.StateDir"]
    return expanded(state) / "compute" if state else repo.compute_dir


def joined_dir(config: Config, repo: Repo, node_id: str) -> Path:
    """Return where the half lies by which this machine is offered to a further cluster."""
    return compute_dir(config, repo).with_name("joined") / node_id / "compute"


def host_dir(config: Config, repo: Repo, name: str) -> Path:
    """Return where the half lies that runs the jobs of a Docker host elsewhere."""
    return compute_dir(config, repo).with_name("hosts") / name / "compute"


def uploads_dir(config: Config, repo: Repo) -> Path:
    """Return where uploads lie: beside the executions, whose inputs may be links to them."""
    return compute_dir(config, repo).with_name("uploads")


def received_dir(config: Config, repo: Repo) -> Path:
    """Return where results lie that nodes elsewhere sent."""
    return compute_dir(config, repo).with_name("received")


def audit_dir(config: Config, repo: Repo) -> Path:
    """Return where it is written down who did what."""
    directory = config["API.Audit.Directory"]
    return expanded(directory) if directory else repo.path / "audit"


def database_path(config: Config, default: Path) -> Path | None:
    """Return where a role's database lies; None keeps it in memory."""
    if config["Node.Ephemeral"]:
        return None
    state = config["Node.StateDir"]
    return expanded(state) / default.parent.name / default.name if state else default


def hidden_paths(config: Config, repo: Repo) -> tuple[Path, ...]:
    """Return what no job may ever see: the node's own files, keys, and the tokens of running Jupyter servers."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises where there is none
    paths = [repo.path, home / ".ssh", home / ".aws", home / ".local/share/jupyter/runtime"]
    if state := config["Node.StateDir"]:
        paths.append(expanded(state))
    paths.append(audit_dir(config, repo))
    if runtime := os.environ.get("JUPYTER_RUNTIME_DIR"):
        paths.append(Path(runtime).absolute())
    return tuple(paths)


def s3_presigner(config: Config, clock: Clock) -> S3Presigner | None:
    """Return what signs links to results in buckets; None where that is disabled."""
    if config["Publishers.Types.S3.PreSignedURLDisabled"]:
        return None
    return S3Presigner(config["Publishers.Types.S3.PreSignedURLExpiration"], clock, s3_access(config))


def reach(config: Config) -> Reach:
    """Return what addresses may lead to that jobs and other nodes name."""
    return Reach.of(config[ADDRESSES])


def s3_access(config: Config) -> S3Access:
    """Return which S3 servers get credentials; raises ConfigurationError for a listed address that is not a server."""
    return S3Access.of(config.get)


def link_address(config: Config) -> LinkAddress:
    """Return where links to local results lead; raises ConfigurationError for an invalid address."""
    return LinkAddress.of(config)


def managed_bucket(config: Config, clock: Clock | None) -> ManagedBucket | None:
    """Return the orchestrator's bucket for managed results; None when none is configured.

    Raises
    ------
    ConfigurationError
        It is described by halves.
    """
    names = ("Bucket", "Key", "Region", "Endpoint")
    bucket, key, region, endpoint = (
        str(config[f"Publishers.Types.S3Managed.{name}"] or "").strip() for name in names
    )
    expiry_s = config["Publishers.Types.S3Managed.PreSignedURLExpiration"]
    location = managed_location(bucket, key, region, endpoint, expiry_s)
    return None if location is None else ManagedBucket(location, expiry_s, clock)


def telemetry_labels(config: Config, node_id: str) -> dict[str, str | int | float | bool]:
    """Return how a receiver of figures tells nodes apart."""
    return {
        "node_id": node_id,
        "node_is_compute": config["Compute.Enabled"],
        "node_is_orchestrator": config["Orchestrator.Enabled"],
    }
