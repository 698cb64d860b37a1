#!/usr/bin/env bash
# Generates from each folder of protos all that is derived from it: C messages, Swift value types, service protocols,
# test vectors. The folders and where their code goes: generator/roots.py.
#
#   proto/generate.sh            writes them
#   proto/generate.sh --check    writes nothing; fails, naming the files, when the committed ones differ
#
# Needs protoc, protoc-c and a Python with the package `protobuf`: $PYTHON, else .build-python of the project's root,
# else python3.
set -euo pipefail

proto=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
root=$(dirname -- "$proto")
python=${PYTHON:-$root/.build-python/bin/python}
if [[ -z ${PYTHON:-} && ! -x $python ]]; then python=python3; fi

# All that lies below these is generated.
outputs=(
  Sources/CContracts Sources/Contracts/Generated Tests/ContractsTests/Generated
  interop/Sources/CInterop interop/Sources/InteropService/Generated
)

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

# Writes below $work/out what is made of the folder $1, with the C below $2.
generate() {
  local name=$1 c=$work/out/$2 sources files
  cd -- "$root/$name"
  mapfile -d '' -t sources < <(find . -name '*.proto' -printf '%P\0' | LC_ALL=C sort -z)
  protoc -I . --include_imports --descriptor_set_out="$work/public.pb" "${sources[@]}"
  protoc -I . --include_imports --include_source_info --descriptor_set_out="$work/source.pb" "${sources[@]}"
  "$python" "$proto/generate_swift.py" "$name" write "$work/public.pb" "$work/source.pb" "$work/out"

  # The set that protoc-c is given differs from the public one: generator/c_descriptors.py says how and why.
  mapfile -t files < <("$python" "$proto/generate_swift.py" "$name" prepare "$work/public.pb" "$work/c.pb")
  protoc-c --descriptor_set_in="$work/c.pb" --c_out="$c" "${files[@]}"
  for file in "${files[@]}"; do
    mkdir -p -- "$c/include/$(dirname -- "$file")"
    mv -- "$c/${file%.proto}.pb-c.h" "$c/include/${file%.proto}.pb-c.h"
  done
}

check() {
  local drift=0 output
  for output in "${outputs[@]}"; do
    diff --recursive --brief --new-file -- "$root/$output" "$work/out/$output" || drift=1
  done
  if ((drift)); then
    echo "generated code is not up to date: run proto/generate.sh and commit the result" >&2
    exit 1
  fi
}

install_outputs() {
  local output
  for output in "${outputs[@]}"; do
    rm -rf -- "${root:?}/$output"
    mkdir -p -- "$root/$output"
    cp -R -- "$work/out/$output/." "$root/$output/"
  done
}

generate proto Sources/CContracts
generate interop/proto interop/Sources/CInterop
case ${1:-} in
  --check) check ;;
  "") install_outputs ;;
  *) echo "usage: proto/generate.sh [--check]" >&2; exit 2 ;;
esac
