// zlib (apt: zlib1g-dev), which compresses messages. Imported by RPC only.
#include <zlib.h>

// Swift does not import these macros. 8 is zlib's own default of memory: 256 KiB to deflate, 44 KiB to inflate.
static inline int zlib_deflate_init(z_stream *stream, int window_bits) {
  return deflateInit2(stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
}
static inline int zlib_inflate_init(z_stream *stream) { return inflateInit(stream); }
