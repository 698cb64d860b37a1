// The list of all tables of message types. It changes before main only, so that readers need no lock.
#include "CMessageTypes.h"

#include <string.h>

static message_type_table *tables;

void message_types_add(message_type_table *table) {
  table->next = tables;
  tables = table;
}

const ProtobufCMessageDescriptor *message_type_named(const char *name) {
  for (const message_type_table *table = tables; table; table = table->next) {
    for (size_t index = 0; index < table->count; index++) {
      if (strcmp(table->types[index]->name, name) == 0) return table->types[index];
    }
  }
  return NULL;
}
