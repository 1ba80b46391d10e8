/* CRC-32C (Castagnoli), as record files of TensorFlow carry it. */
#ifndef TPO_BASE_CRC32C_H
#define TPO_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t tpo_crc32c(const void *bytes, size_t len);

#endif
