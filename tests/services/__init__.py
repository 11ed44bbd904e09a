"""The only place that knows how the servers that tests talk to are obtained.

==================  ==============================================================================================
`docker_engine.py`  finds a Docker Engine, or starts one of our own and ends it by its pid
`images.py`         the two test images, imported from local files where possible, pulled otherwise
`registry.py`       an image registry on a loopback port
`http_server.py`    an HTTP server that behaves badly on request
`s3.py`             an S3 server on a loopback port, built once with Go, and a proxy that cuts connections
`go_build.py`       programs that are built once from a Go module
`policies.py`       the official policies and their engine, from Go modules
`pebble.py`         an ACME server on loopback ports, built once with Go
`proxies.py`        the TLS proxies nginx and HAProxy, with a configuration that the test brings
`nats.py`           NATS servers on loopback ports
`cuttable.py`       a way to a port that a test cuts, holds and restores
`far_host.py`       a second machine in namespaces, with a Docker Engine and an ssh server (Linux, as root)
`far_users.py`      who may log in there, and the ssh configurations that lead there
`leaks.py`          threads, processes, sockets and containers that a test left behind
`fixtures.py`       all of it as pytest fixtures
`install.py`        the operating-system packages that the above need (Debian and Ubuntu, as root)
`__main__.py`       ``python -m tests.services up|down|status``, for a whole run of `./run test`
==================  ==============================================================================================

A service that cannot be had skips the tests that need it and says why; with ``CI=true`` they fail instead.
"""
