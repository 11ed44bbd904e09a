"""Variables that are no config keys, and files."""

from __future__ import annotations

from bacalhau_jupyter.config.words.word import Kind, Standing, Word

_NO_CHECKS = "no update checks are made"

_READ = {
    "AWS_ACCESS_KEY_ID": "credentials for S3",
    "AWS_PROFILE": "which credentials for S3",
    "AWS_REGION": "region of S3 buckets",
    "AWS_SECRET_ACCESS_KEY": "credentials for S3",
    "AWS_SESSION_TOKEN": "credentials for S3",
    "BACALHAU_API_HOST": "address of the API",
    "BACALHAU_API_KEY": "how a client logs in",
    "BACALHAU_API_PASSWORD": "how a client logs in",
    "BACALHAU_API_PORT": "port of the API",
    "BACALHAU_API_USERNAME": "how a client logs in",
    "BACALHAU_DIR": "the data directory",
    "BACALHAU_HTTPS": "whether clients speak HTTPS",
    "BACALHAU_PROFILE": "the saved connection of a session",
    "DEVSTACK_ENV_FILE": "file that a devstack writes its address to",
    "DOCKER_API_VERSION": "version of the Docker API",
    "DOCKER_CERT_PATH": "certificates for the Docker Engine",
    "DOCKER_HOST": "address of the Docker Engine",
    "DOCKER_PASSWORD": "login for image registries",
    "DOCKER_TLS_VERIFY": "whether the Docker Engine must show a certificate",
    "DOCKER_USERNAME": "login for image registries",
    "HOME": "the home directory, which holds .bacalhau",
    "IGNORE_PID_AND_PORT_FILES": "lets a devstack start beside another one",
    "LOG_LEVEL": "how much is logged",
    "SKIP_IMAGE_PULL": "whether images are only looked for on this machine",
    "LOG_TYPE": "the form of log lines",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "where traces and metrics go",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "how they go there",
    "PREDICTABLE_API_PORT": "ports of a devstack are those of the configuration, unless --random-ports is given",
}

_FOREIGN = {
    "IPFS_PATH": "the `ipfs` program's own directory; it goes to that program when a download starts it",
    "LIBP2P_FORCE_PNET": "makes the `ipfs` program refuse public peers; set for a download with a swarm key",
}

_NO_EFFECT = {
    "BACALHAU_UPDATE_CHECKER_ENDPOINT": _NO_CHECKS,
    "BACALHAU_UPDATE_CHECKER_TEST": _NO_CHECKS,
    "DEBUG": "LOG_LEVEL=debug logs more",
}

ENVIRONMENT = Word(
    Kind.VARIABLE,
    "BACALHAU_ENVIRONMENT",
    Standing.REPLACED,
    "API.Host",
    "the public networks have ended; API.Host and API.Port name a cluster, without them a node of one's own is used",
)

VARIABLES: tuple[Word, ...] = (
    *(Word(Kind.VARIABLE, name, Standing.WORKS, sentence=words) for name, words in _READ.items()),
    *(Word(Kind.VARIABLE, name, Standing.WORKS, sentence=words) for name, words in _FOREIGN.items()),
    *(Word(Kind.VARIABLE, name, Standing.REPLACED, sentence=words) for name, words in _NO_EFFECT.items()),
    ENVIRONMENT,
)

_NO_TOKENS = "our clients keep no tokens; a profile, or BACALHAU_API_KEY, has the credential"
_POLICIES = "policies in Rego come with a later version; BACALHAU_API_KEY keeps other users out"
_DATABASES = "state lies in SQLite databases; jobs of that old database are not taken over"

_KEPT = {
    "config.yaml": "the configuration, in the data directory",
    "system_metadata.yaml": "name and version of the data directory",
    "profiles": "saved connections, in the data directory",
    "user_id.pem": "the key pair of official clients; `id` shows the client ID that is made of it",
    "swarm.key": "key of a private IPFS swarm",
    "~/.aws/credentials": "credentials for S3",
}
_OLD = {
    "repo.version": "the version stands in system_metadata.yaml",
    "libp2p_private_key": "nodes are no libp2p peers any more; their name stands in system_metadata.yaml",
    "update.json": _NO_CHECKS,
    "tokens.json": _NO_TOKENS,
    "jwt-tokens.json": _NO_TOKENS,
    "installation_id": "nobody counts installations",
    "executions.db": _DATABASES,
    "jobs.db": _DATABASES,
    "jobStats.json": "jobs are counted in the database",
    "executor_storages": "inputs lie in compute/, and go with their executions or their cache",
    "plugins": "engines, sources and publishers are Python packages with an entry point",
    "autocert-cache": "certificates by ACME lie where API.TLS.AutoCertCachePath says; it takes such a directory over",
    "server.cert": "API.TLS.CertFile names the server's certificate, wherever it lies",
    "server.cert.pem": "API.TLS.CertFile names the server's certificate, wherever it lies",
    "server.key": "API.TLS.KeyFile names its private key, wherever it lies",
    "server.key.pem": "API.TLS.KeyFile names its private key, wherever it lies",
    "ask_ns_example.rego": _POLICIES,
    "ask_ns_password.rego": _POLICIES,
    "challange_ns_no_anon.rego": _POLICIES,
    "challenge_ns_anon.rego": _POLICIES,
    "policy_ns_anon.rego": _POLICIES,
}

FILES: tuple[Word, ...] = (
    *(Word(Kind.FILE, name, Standing.WORKS, sentence=words) for name, words in _KEPT.items()),
    *(Word(Kind.FILE, name, Standing.REPLACED, sentence=words) for name, words in _OLD.items()),
)

LEFT_IN_REPOS = ("repo.version", "libp2p_private_key", "update.json", "executor_storages", "plugins")
"""What an old data directory may hold, and a node of today does not use."""
