#!/usr/bin/env python3
"""Writes what proto/generate.sh does not get from protoc-c. Called by it only; needs the package `protobuf`.

usage: generate_swift.py ROOT prepare PUBLIC_SET C_SET
       generate_swift.py ROOT write PUBLIC_SET SOURCE_SET OUTPUT

ROOT is a folder of protos, by its path from the project's root: generator/roots.py lists them.
"""

import pathlib
import sys

sys.dont_write_bytecode = True

from generator import c_descriptors, swift_messages, swift_services, vectors  # noqa: E402
from generator.contract import Contract  # noqa: E402
from generator.names import ContractError  # noqa: E402
from generator.roots import ROOTS, Root  # noqa: E402


def prepare(_: Root, public_set: pathlib.Path, c_set: pathlib.Path):
    """Writes the descriptor set for protoc-c and prints the names of its files."""
    rewritten = c_descriptors.for_protoc_c(public_set.read_bytes())
    c_set.write_bytes(rewritten.SerializeToString(deterministic=True))
    print("\n".join(file.name for file in rewritten.file))


def write(root: Root, public_set: pathlib.Path, source_set: pathlib.Path, output: pathlib.Path):
    """Writes the Swift, the test vectors and the C beside protoc-c's, below OUTPUT as below the project's root."""
    contract = Contract(source_set.read_bytes(), root.main_package)
    contract.check()

    generated = output / root.swift_folder
    for file in contract.swift_files:
        if file.message_types_by_name or file.enum_types_by_name:
            swift = swift_messages.SwiftFile(contract, file)
            put(generated / swift.name, swift.text())
    put(generated / "Namespaces.swift", swift_messages.namespaces(root, contract))
    put(generated / "Services.swift", swift_services.Services(contract).text())
    if root.vectors:
        put(output / root.vectors, vectors.Vectors(contract).text())

    c = output / root.c_folder
    headers = [file.name.replace(".proto", ".pb-c.h") for file in contract.files]
    put(c / "include" / root.header, c_descriptors.umbrella_header(root, headers))
    put(c / "include/module.modulemap", c_descriptors.module_map(root))
    put(c / "message_types.c", c_descriptors.message_table(root, contract))
    if root.embeds_descriptors:
        put(c / "descriptor_set.c", c_descriptors.descriptor_set_source(root, public_set.read_bytes()))


def put(path: pathlib.Path, text: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main() -> int:
    root, command = ROOTS[sys.argv[1]], {"prepare": prepare, "write": write}[sys.argv[2]]
    try:
        command(root, *map(pathlib.Path, sys.argv[3:]))
    except ContractError as error:
        print(f"proto: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
