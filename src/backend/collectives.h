/* Exchanges between ranks of tensors that lie in a backend's own memory: what a backend with such memory
 * gives to comm. Backends in host memory have none; their tensors go over MPI.
 *
 * An exchange is a few transfers of one kind, carried out together. Exchanges run one after another, beside
 * the backend's computations, each after the computations that were handed to the backend before it. No call
 * but close waits: comm does, with its deadline, and asks the other ranks when it gets late. */
#ifndef TPO_BACKEND_COLLECTIVES_H
#define TPO_BACKEND_COLLECTIVES_H

#include <stdint.h>

#include "tpo/base.h"

struct tpo_backend;
struct tpo_device_comm;

/* Exchanges that may be under way at once. */
enum { TPO_EXCHANGES = 64 };

struct tpo_transfer {
  const void *send; /* broadcast: looked at on the root alone */
  void *recv;       /* reduce: written on the root alone; may be send */
  size_t count;     /* fp32 elements of a reduce, bytes of a broadcast */
  int root;
};

struct tpo_collectives {
  /* A number for where the backend's memory is, another one for each GPU: exchanges need one a rank. */
  uint64_t (*place)(struct tpo_backend *be);
  size_t id_bytes;
  int (*make_id)(void *id, struct tpo_error *err); /* on one rank, for all */
  /* `started` tells when all ranks have come. */
  int (*open)(struct tpo_device_comm **out, struct tpo_backend *be, const void *id, int rank, int size,
              struct tpo_error *err);
  /* Begin exchange `number` (0, 1, 2 and so on). Only after `started` gave 1. */
  int (*reduce)(struct tpo_device_comm *comm, uint64_t number, const struct tpo_transfer *transfers, int n,
                struct tpo_error *err);
  int (*broadcast)(struct tpo_device_comm *comm, uint64_t number, const struct tpo_transfer *transfers, int n,
                   struct tpo_error *err);
  /* 1: what was asked for last is on its way; 0: not yet; negative: it failed. */
  int (*started)(struct tpo_device_comm *comm, struct tpo_error *err);
  /* The same for exchange `number` being done. */
  int (*done)(struct tpo_device_comm *comm, uint64_t number, struct tpo_error *err);
  /* The backend's computations from now on come after exchange `number`. */
  int (*order)(struct tpo_device_comm *comm, uint64_t number, struct tpo_error *err);
  /* ends exchanges that other ranks will never come to; closes */
  void (*abort)(struct tpo_device_comm *comm);
  void (*close)(struct tpo_device_comm *comm); /* all exchanges are done, on all ranks */
};

#endif
