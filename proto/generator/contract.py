"""The protos as one descriptor pool, with our options readable and their rules enforced."""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import EnumValueDescriptor, FieldDescriptor

from .names import ContractError

# descriptor.proto is needed in C only: Swift reads the embedded set by DescriptorSet.
C_ONLY = {"google/protobuf/descriptor.proto"}


# Fields of descriptor.proto that lead to what may carry a comment.
COMMENTED = {"message_type", "enum_type", "service", "field", "nested_type", "oneof_decl", "value", "method"}


class Contract:
    """All files of one FileDescriptorSet that carries source info."""

    def __init__(self, serialized: bytes, main_package: str):
        self.main_package = main_package
        self.set = descriptor_pb2.FileDescriptorSet.FromString(serialized)
        self.pool = descriptor_pool.DescriptorPool()
        for file in self.set.file:
            self.pool.Add(file)
        self.files = [self.pool.FindFileByName(file.name) for file in self.set.file]
        self.swift_files = [file for file in self.files if file.name not in C_ONLY]
        # The comments of the well-known types are other people's text: they stay in their files.
        ours = [file for file in self.set.file if file.package != "google.protobuf"]
        self._comments = {name: lines for file in ours for name, lines in _comments(file).items()}

    def comment(self, descriptor) -> list[str]:
        """The lines of a comment on a message, field, enum, value, oneof, service or method; empty when it has none."""
        return self._comments.get(_path(descriptor), [])

    def option(self, descriptor, kind: str, name: str):
        """The value of one of our custom options, or None when it is not set."""
        try:
            extension = self.pool.FindExtensionByName("esp.options.v1." + name)
        except KeyError:  # these protos do not import our options
            return None
        options = message_factory.GetMessageClass(self.pool.FindMessageTypeByName("google.protobuf." + kind))
        parsed = options.FromString(descriptor.GetOptions().SerializeToString())
        return parsed.Extensions[extension] if parsed.HasExtension(extension) else None

    def rule(self, method):
        return self.option(method, "MethodOptions", "rule")

    def check(self):
        """Raises ContractError when the protos break a rule that the server relies on."""
        for file in self.swift_files:
            for message in file.message_types_by_name.values():
                _check_recursion(message, [])
                _check_maps(message)
            if file.package == self.main_package:
                for service in file.services_by_name.values():
                    for method in service.methods:
                        self._check_rule(method)

    def _check_rule(self, method):
        rule = self.rule(method)
        if rule is None:
            raise ContractError(f"{method.full_name} has no option (esp.options.v1.rule)")
        if not rule.permission:
            raise ContractError(f'{method.full_name}: the rule has no permission; "public" if none is needed')


def all_messages(container):
    """The messages of a file or message and those nested in them, outermost first; map entries are left out."""
    is_file = hasattr(container, "message_types_by_name")
    for message in container.message_types_by_name.values() if is_file else container.nested_types:
        if not message.GetOptions().map_entry:
            yield message
            yield from all_messages(message)


def _check_recursion(message, stack):
    # protobuf-c unpacks by recursion without a depth limit: hostile bytes of a recursive type would end the process.
    if message in stack:
        names = " -> ".join(m.full_name for m in stack[stack.index(message):] + [message])
        raise ContractError(f"recursive message ({names}): protobuf-c has no depth limit, so we have no such types")
    for field in message.fields:
        if field.message_type:
            _check_recursion(field.message_type, stack + [message])


def _check_maps(message):
    for field in message.fields:
        entry = field.message_type
        if entry and entry.GetOptions().map_entry and entry.fields_by_name["key"].type == FieldDescriptor.TYPE_BOOL:
            raise ContractError(f"{field.full_name}: a map with Bool keys has no order in Swift: use two fields")
    for nested in message.nested_types:
        _check_maps(nested)


def _path(descriptor) -> str:
    """The full name; an enum value is named after its enum, not its scope."""
    if isinstance(descriptor, EnumValueDescriptor):
        return f"{descriptor.type.full_name}/{descriptor.name}"
    return descriptor.full_name


def _comments(file) -> dict[str, list[str]]:
    """Full name -> comment lines, from the source info (descriptor.proto: SourceCodeInfo.Location.path)."""
    found = {}
    for location in file.source_code_info.location:
        text = location.leading_comments or location.trailing_comments
        name = _name_at(file, list(location.path)) if text else None
        if name:
            lines = [line.removeprefix(" ").rstrip() for line in text.rstrip().split("\n")]
            found[name] = lines
    return found


def _name_at(file, path) -> str | None:
    node, name = file, file.package
    while path:
        if len(path) < 2:
            return None
        field = node.DESCRIPTOR.fields_by_number[path[0]]
        if field.name not in COMMENTED:
            return None
        node = getattr(node, field.name)[path[1]]
        name += ("/" if field.name == "value" else ".") + node.name
        path = path[2:]
    return name
