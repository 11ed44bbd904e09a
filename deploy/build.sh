#!/bin/sh
# Build the image of a node: deploy/build.sh [OPTIONS OF docker build]. Needs pip and Docker.
#
# PYTHON: whose pip makes the wheel (python3). WHEELS: a directory with every other package that is needed, for a
# build without a network (then with --network none --build-arg PIP_OPTIONS=--no-index).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}

rm -rf "$here/dist"
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$here/dist" "$here/.."
if [ -n "${WHEELS:-}" ]; then
    cp "$WHEELS"/*.whl "$here/dist/"
fi
exec docker build --tag bacalhau-jupyter "$@" "$here"
