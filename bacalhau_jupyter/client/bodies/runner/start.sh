# Gives a shell body in a container a directory that it can write to and that holds inputs and outputs: where it
# stands, or a private one. An image's own user can't write to /. Then runs what follows, in the same process.
stands=$PWD
if ! [ -w . ]; then
  work=$(mktemp -d 2>/dev/null) && cd "$work" || :
fi
for name in inputs outputs; do
  if [ "$name" = inputs ]; then place=${BACALHAU_INPUTS:-}; else place=${BACALHAU_OUTPUTS:-}; fi
  place=${place:-${stands%/}/$name}
  if [ ! -d "$place" ]; then
    mkdir "$name" 2>/dev/null
  elif [ ! -e "$name" ]; then
    ln -s "$place" "$name" 2>/dev/null
  fi
done
unset stands work name place
exec "$@"
