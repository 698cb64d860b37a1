"""CPU of our RPC layer with nothing behind it, beside bare gRPC servers and nghttpd in the same run.

Usage: bench/rpc.py PEERS [bench.py options], where PEERS is the folder of peers with `run.sh` and their builds in
$BUILD. `rpc-echo` decodes, judges and sums an IngestRequest and answers it, as the peers do with theirs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import espd
import unary


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for count in (1, 100):
            files[count] = os.path.join(folder, f"body_{count}.bin")
            with open(files[count], "wb") as file:
                file.write(unary.body(count))
        port = espd.free_port()
        subprocess.run([os.path.join(sys.argv[1], "run.sh"), "--target", f"127.0.0.1:{port}", "--name", "rpc-echo",
                        "--path", "/esp.v1.TelemetryService/Ingest",
                        "--stream-path", "/esp.v1.TelemetryService/IngestStream",
                        "--body", files[1], "--body100", files[100],
                        "--exec", f"{espd.ROOT}/.build/release/RPCEcho --port {port}",
                        "--peers", "nghttpd,cpp-callback,swift",
                        "--cases", "unary1,unary100,unary1-light,stream100", *sys.argv[2:]], check=True)


if __name__ == "__main__":
    main()
