/* SHA-512 (FIPS 180-4): Python's random module seeds itself with it. Not for security here. */
#ifndef TPO_EVAL_ALPACA_SHA512_H
#define TPO_EVAL_ALPACA_SHA512_H

#include <stddef.h>
#include <stdint.h>

void sha512(const void *bytes, size_t len, uint8_t digest[64]);

#endif
