#!/usr/bin/env bash
# Writes the Python classes of proto/esp into src/espclient/_generated (not committed; scripts/install calls this).
# Their imports are rewritten to lie inside the package, so that no global name `esp` or `google.rpc` appears.
# PYTHON: an interpreter with grpcio-tools; default: the project's .build-python.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-$root/.build-python/bin/python}
out=$here/src/espclient/_generated

fresh=$(mktemp -d "$here/src/espclient/.generated.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
cd "$root/proto"
find esp -name '*.proto' -print0 | sort -z | xargs -0 "$python" -m grpc_tools.protoc -I . \
  --python_out="$fresh" --pyi_out="$fresh" --grpc_python_out="$fresh"
find "$fresh" -name '*.py*' -exec sed -i -E 's/^from esp\./from espclient._generated.esp./' {} +
find "$fresh" -type d -exec touch {}/__init__.py \;
chmod 755 "$fresh"
rm -rf "$out"
mv "$fresh" "$out"
trap - EXIT
