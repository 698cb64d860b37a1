// libprotobuf-c (apt: libprotobuf-c-dev), the runtime of the generated messages. Imported by Protobuf only.
#include <protobuf-c/protobuf-c.h>
