// libpq (apt: libpq-dev), PostgreSQL's client library. Imported by PostgresStore only.
#include <libpq-fe.h>
