#!/usr/bin/env python3
"""Writes what proto/generate.sh does not get from protoc-c. Called by it only; needs the package `protobuf`.

usage: generate_swift.py prepare PUBLIC_SET C_SET
       generate_swift.py write PUBLIC_SET SOURCE_SET OUTPUT
"""

import pathlib
import sys

sys.dont_write_bytecode = True

from generator import c_descriptors, swift_messages, swift_services, vectors  # noqa: E402
from generator.contract import Contract  # noqa: E402
from generator.names import ContractError  # noqa: E402


def prepare(public_set: pathlib.Path, c_set: pathlib.Path):
    """Writes the descriptor set for protoc-c and prints the names of its files."""
    rewritten = c_descriptors.for_protoc_c(public_set.read_bytes())
    c_set.write_bytes(rewritten.SerializeToString(deterministic=True))
    print("\n".join(file.name for file in rewritten.file))


def write(public_set: pathlib.Path, source_set: pathlib.Path, output: pathlib.Path):
    """Writes the Swift, the test vectors and the C beside protoc-c's, below OUTPUT as below the project's root."""
    contract = Contract(source_set.read_bytes())
    contract.check()

    generated = output / "Sources/Contracts/Generated"
    for file in contract.swift_files:
        if file.message_types_by_name or file.enum_types_by_name:
            swift = swift_messages.SwiftFile(contract, file)
            put(generated / swift.name, swift.text())
    put(generated / "Namespaces.swift", swift_messages.namespaces(contract))
    put(generated / "Services.swift", swift_services.Services(contract).text())
    put(output / "Tests/ContractsTests/Generated/MessageVectors.swift", vectors.Vectors(contract).text())

    c = output / "Sources/CContracts"
    headers = [file.name.replace(".proto", ".pb-c.h") for file in contract.files]
    put(c / "include/contracts.h", c_descriptors.umbrella_header(headers))
    put(c / "include/module.modulemap", c_descriptors.MODULE_MAP)
    put(c / "message_types.c", c_descriptors.message_table(contract))
    put(c / "descriptor_set.c", c_descriptors.descriptor_set_source(public_set.read_bytes()))


def put(path: pathlib.Path, text: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main() -> int:
    command, paths = sys.argv[1], [pathlib.Path(argument) for argument in sys.argv[2:]]
    try:
        {"prepare": prepare, "write": write}[command](*paths)
    except ContractError as error:
        print(f"proto: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
