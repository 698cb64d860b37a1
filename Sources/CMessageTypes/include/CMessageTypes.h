// The message types of the program: each library of generated messages adds its own, libprotobuf-c's fence finds them.
#ifndef C_MESSAGE_TYPES_H
#define C_MESSAGE_TYPES_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

/// The types of one generated library; lives as long as the program.
typedef struct message_type_table {
  const ProtobufCMessageDescriptor *const *types;
  size_t count;
  /// Set by message_types_add.
  struct message_type_table *next;
} message_type_table;

/// Generated code calls it before main, from a constructor: at that time there is one thread.
void message_types_add(message_type_table *table);

/// The type of that full name, or NULL.
const ProtobufCMessageDescriptor *message_type_named(const char *name);

#endif
