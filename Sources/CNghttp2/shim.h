// libnghttp2 (apt: libnghttp2-dev), the HTTP/2 framing and HPACK library. Imported by HTTP2 only.
#include <nghttp2/nghttp2.h>
