"""The folders of protos that code is generated from, and where it goes. proto/generate.sh has the same folders."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Root:
    """One folder of protos with its own C module and its own Swift module."""

    c_module: str
    """The C target; the Swift module is its fence."""
    c_folder: str
    header: str
    swift_folder: str
    main_package: str
    """Its services stand at the top level, not in a namespace; "" when none do."""
    embeds_descriptors: bool = False
    """The descriptor set is part of the program, for reflection and method options."""
    vectors: str = ""
    """Where the test vectors go; none are made when it is empty."""


ROOTS = {
    "proto": Root(
        c_module="CContracts", c_folder="Sources/CContracts", header="contracts.h",
        swift_folder="Sources/Contracts/Generated", main_package="esp.v1", embeds_descriptors=True,
        vectors="Tests/ContractsTests/Generated/MessageVectors.swift"),
    "interop/proto": Root(
        c_module="CInterop", c_folder="interop/Sources/CInterop", header="interop.h",
        swift_folder="interop/Sources/InteropService/Generated", main_package=""),
}
