#!/bin/sh
# A private IPFS node (Kubo) for a Bacalhau node: nobody who lacks the swarm's key can connect, read or write.
#
#   deploy/private-ipfs.sh init DIR [KEYFILE]   make the repository, with a new key or that of a swarm that exists
#   deploy/private-ipfs.sh run DIR              run the node (in the foreground)
#   deploy/private-ipfs.sh rpc DIR              print what `serve --ipfs-connect` takes
#   deploy/private-ipfs.sh swarm DIR            print the addresses that other nodes of the swarm connect to
#
# The RPC API listens on loopback: never expose it (port 5001), whoever reaches it controls the node.
# IPFS_RPC_PORT (5001), IPFS_SWARM_PORT (4001) and IPFS_SWARM_HOST (0.0.0.0) are read by `init`; 0 takes any port.
set -eu

usage() {
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

[ $# -ge 2 ] || usage
verb=$1
dir=$2
export IPFS_PATH="$dir/repo"
# A node without the key must not start at all, instead of joining the public network.
export LIBP2P_FORCE_PNET=1
# What is private tells nobody anything.
export IPFS_TELEMETRY=off

init() {
    rpc=${IPFS_RPC_PORT:-5001}
    port=${IPFS_SWARM_PORT:-4001}
    host=${IPFS_SWARM_HOST:-0.0.0.0}
    if [ -e "$IPFS_PATH" ]; then
        echo "private-ipfs: $IPFS_PATH exists; remove it to begin anew (its content is lost then)" >&2
        exit 1
    fi
    umask 077
    mkdir -p "$IPFS_PATH"
    if [ $# -ge 1 ]; then
        grep -q '^/key/swarm/psk/1.0.0/$' "$1" || {
            echo "private-ipfs: $1 is no swarm key" >&2
            exit 1
        }
        cat "$1" > "$IPFS_PATH/swarm.key"
    else
        printf '/key/swarm/psk/1.0.0/\n/base16/\n%s\n' \
            "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" > "$IPFS_PATH/swarm.key"
    fi
    ipfs init --empty-repo > /dev/null
    ipfs bootstrap rm --all > /dev/null
    ipfs config --json Discovery.MDNS.Enabled false
    ipfs config --json AutoConf.Enabled false
    ipfs config --json AutoTLS.Enabled false
    ipfs config --json Routing '{"Type": "dht"}'
    ipfs config --json Bootstrap '[]'
    ipfs config Addresses.API "/ip4/127.0.0.1/tcp/$rpc"
    ipfs config --json Addresses.Gateway '[]'
    ipfs config --json Addresses.Swarm "[\"/ip4/$host/tcp/$port\"]"
    echo "The swarm's key is in $IPFS_PATH/swarm.key: give it to members of the swarm only."
}

case $verb in
init)
    shift 2
    init "$@"
    ;;
run) exec ipfs daemon ;;
rpc) cat "$IPFS_PATH/api" ;;
swarm) ipfs id --format='<addrs>' | grep '/tcp/' ;;
*) usage ;;
esac
