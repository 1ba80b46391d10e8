/* Emulated CUDA: what GCC and Clang name differently. */
#ifndef TPO_EMULATION_COMPILER_H
#define TPO_EMULATION_COMPILER_H

#ifdef __has_feature
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#endif
