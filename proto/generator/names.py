"""Swift names of proto things: one place, so that messages, services and test vectors agree."""

# Words that keep one case in Swift (Swift API Design Guidelines).
ACRONYMS = {"api", "esp", "grpc", "id", "ip", "http", "json", "jwt", "rpc", "sql", "tls", "uri", "url"}
PLURALS = {word + "s" for word in ACRONYMS}

KEYWORDS = {
    "Any", "associatedtype", "as", "async", "await", "break", "case", "catch", "class", "continue", "default", "defer",
    "deinit", "do", "else", "enum", "extension", "fallthrough", "false", "fileprivate", "for", "func", "guard", "if",
    "import", "in", "inout", "internal", "is", "let", "nil", "operator", "package", "precedencegroup", "private",
    "protocol", "public", "repeat", "rethrows", "return", "static", "struct", "subscript", "super", "switch", "throw",
    "throws", "true", "try", "typealias", "var", "where", "while",
}
# Names that Swift does not let a member have, even in backticks.
FORBIDDEN = {"Type", "Protocol", "Self", "self", "init"}


class ContractError(Exception):
    """The protos break a rule of ours; the text is for the engineer who wrote them."""


def escaped(name: str) -> str:
    if name in FORBIDDEN:
        raise ContractError(f"'{name}' cannot be the name of a Swift member: rename it in the proto")
    return f"`{name}`" if name in KEYWORDS else name


def camel(snake: str, upper: bool = False) -> str:
    """device_id -> deviceID; upper: ack_level -> AckLevel."""
    words = [word for word in snake.split("_") if word]
    spelled = [_capitalized(word) if index or upper else word.lower() for index, word in enumerate(words)]
    return escaped("".join(spelled))


def _capitalized(word: str) -> str:
    lower = word.lower()
    if lower in ACRONYMS:
        return lower.upper()
    if lower in PLURALS:
        return lower[:-1].upper() + "s"
    return word[:1].upper() + word[1:]


def lower_camel(pascal: str) -> str:
    """A method's Swift name: QueryReadings -> queryReadings, GetJWKS -> getJWKS."""
    return escaped(pascal[:1].lower() + pascal[1:])


def namespace(package: str) -> str:
    """esp.v1 -> ESPV1, grpc.reflection.v1alpha -> GRPCReflectionV1Alpha."""
    return "".join(_capitalized(part.replace("alpha", "Alpha").replace("beta", "Beta")) for part in package.split("."))


def enum_case(enum_name: str, value_name: str) -> str:
    """ACK_LEVEL_DURABLE of AckLevel -> durable."""
    prefix = "".join("_" + letter if letter.isupper() and index else letter for index, letter in enumerate(enum_name))
    prefix = prefix.upper() + "_"
    return camel(value_name.removeprefix(prefix).lower())


def type_name(descriptor) -> str:
    """Full Swift name of a message or enum: ESPV1.Verdict.Outcome."""
    inner = descriptor.full_name[len(descriptor.file.package) + 1:]
    return namespace(descriptor.file.package) + "." + ".".join(escaped(part) for part in inner.split("."))
