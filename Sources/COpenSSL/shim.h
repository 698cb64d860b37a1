// OpenSSL 3 (apt: libssl-dev), TLS and X.509. Imported by TLS only. The functions below stand for macros that Swift
// does not import, and for parameter lists whose pointers must outlive one Swift expression.
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

static inline int COpenSSL_set_version_range(SSL_CTX *context, int lowest, int highest) {
  return SSL_CTX_set_min_proto_version(context, lowest) && SSL_CTX_set_max_proto_version(context, highest);
}

static inline int COpenSSL_set_groups(SSL_CTX *context, const char *names) {
  return SSL_CTX_set1_groups_list(context, names);
}

// No compression (CRIME), no renegotiation (CPU for nothing), our order of ciphers except that a client without AES in
// hardware, which puts ChaCha20 first, gets it.
static inline void COpenSSL_set_options(SSL_CTX *context) {
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_PRIORITIZE_CHACHA);
}

// An idle connection keeps no record buffers (34 KiB).
static inline void COpenSSL_set_modes(SSL_CTX *context) { SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS); }

// Sessions live in the tickets that clients hold, none with us.
static inline void COpenSSL_disable_session_cache(SSL_CTX *context) {
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

// The certificate that goes out first; borrowed.
static inline X509 *COpenSSL_own_certificate(SSL_CTX *context) { return SSL_CTX_get0_certificate(context); }

static inline int COpenSSL_name_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }

static inline GENERAL_NAME *COpenSSL_name(const GENERAL_NAMES *names, int index) {
  return sk_GENERAL_NAME_value(names, index);
}

static inline unsigned long COpenSSL_name_flags(void) { return XN_FLAG_RFC2253; }

// Keys the HMAC-SHA-256 that protects a ticket.
static inline int COpenSSL_set_ticket_mac(EVP_MAC_CTX *mac, unsigned char *key, size_t key_bytes) {
  char digest[] = "SHA256";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key, key_bytes),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end(),
  };
  return EVP_MAC_CTX_set_params(mac, parameters);
}
