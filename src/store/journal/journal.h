/* Journals: pieces of work that are finished, kept while the rest goes on, so that a killed process loses
 * only what it was at.
 *
 *   journal_open(&journal, "out.h5.journal", "model: 1234\nseed: 0\n", rank, JOURNAL_READ, &err);
 *   if (journal_find(journal, key, n_key, &piece, &err) == 0) { // not done before
 *     ...
 *     journal_append(journal, key, n_key, bytes, len, &err);
 *   }
 *   journal_close(journal);
 *   journal_remove("out.h5.journal", &err); // the result stands in a file of its own
 *
 * A journal is a folder. Each process appends to a file of its own in it, RANK-RANDOM.journal, and reads all
 * that were there when it opened, so neither the number of ranks nor how often work was taken up matters. A
 * file begins with what the work is (journal_open's `work`) and goes on with frames: lengths, checksums, key,
 * value. What a killed process left half written at a file's end doesn't count. No HDF5, and nothing that
 * another command takes for a result. */
#ifndef TPO_STORE_JOURNAL_JOURNAL_H
#define TPO_STORE_JOURNAL_JOURNAL_H

#include "tpo/base.h"

struct journal;

enum journal_use {
  JOURNAL_WRITE, /* only appends: the folder's other files aren't looked at */
  JOURNAL_READ,  /* has what the folder held, too */
};

/* An error (usage) where the folder is a link: what it leads to belongs to someone else, and files of a
 * journal's names would be taken and removed there. */
int journal_refuse_link(const char *folder, struct tpo_error *err);

/* Keeps other processes that ask for the same out of the folder until *fd is closed: TPO_E_USAGE where one is at
 * work in it. *fd is -1, and nothing is kept out, where there is no such folder or no locks. */
int journal_lock(const char *folder, int *fd, struct tpo_error *err);

/* Makes the folder where it isn't there, and refuses a link in its place; a file of its own only with the first
 * entry. work: lines "NAME: VALUE\n" of all that the results depend on; a file in the folder that is of other
 * work is an error (TPO_E_STATE) that names the first line that differs. rank: for the files' names. */
int journal_open(struct journal **out, const char *folder, const char *work, int rank, enum journal_use use,
                 struct tpo_error *err);
void journal_close(struct journal *journal); /* takes NULL */

/* A value. Its bytes are borrowed until the journal is closed where they stood in the folder; those of an
 * entry of this process, until the next journal_find. */
struct journal_piece {
  const void *bytes;
  size_t len;
};
/* 1: found, 0: there is none; negative: error, TPO_E_INPUT for a value that is not as it was written. Of
 * several entries with a key the last counts. */
int journal_find(struct journal *journal, const void *key, size_t n_key, struct journal_piece *piece,
                 struct tpo_error *err);
/* Each key's entry, in the order in which the keys came first, files by name; stops at a negative result and
 * returns it. Not those of this process. */
typedef int journal_take(void *arg, const void *key, size_t n_key, struct journal_piece piece,
                         struct tpo_error *err);
int journal_each(struct journal *journal, journal_take *take, void *arg, struct tpo_error *err);
size_t journal_size(const struct journal *journal); /* keys, those of this process too */

/* Written when this returns, and on the disk after some seconds (JOURNAL_SYNC_SECONDS) or journal_sync. A
 * failure leaves what was there before, no file where this is the first entry. n_key: 1 to 65535. */
enum { JOURNAL_SYNC_SECONDS = 10 };
int journal_append(struct journal *journal, const void *key, size_t n_key, const void *value, size_t len,
                   struct tpo_error *err);
int journal_sync(struct journal *journal, struct tpo_error *err);

/* What the work of the folder's journal begins with, up to `size` - 1 bytes of its first line, "what: samples",
 * say; "": there is none to be read. */
void journal_begin_of_work(const char *folder, char *out, size_t size);

/* Whether the folder is there and has a journal's file. */
bool journal_exists(const char *folder);
/* For what reads results: an error (usage) that says so where path is a journal's folder or a file of one. */
int journal_refuse(const char *path, struct tpo_error *err);
/* Removes a journal's files, and the folder when nothing else is in it; no error where there is none;
 * one where it is a link. */
int journal_remove(const char *folder, struct tpo_error *err);

#endif
