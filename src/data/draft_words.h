/* What words tell about a draft; letter case aside, and ’ counts as '. Texts are bytes [at, at + len). */
#ifndef TPO_DATA_DRAFT_WORDS_H
#define TPO_DATA_DRAFT_WORDS_H

#include "tpo/base.h"

/* Bytes that `phrase` (small letters) takes at the beginning of the text, or 0. */
size_t draft_begins(const char *at, size_t len, const char *phrase);
/* Whether a word (small ASCII letters) occurs. */
bool draft_has_word(const char *at, size_t len, const char *word);
/* "Sure, here is a request": what stands before a colon only introduces what stands behind it. */
bool draft_introduces(const char *at, size_t len);
/* A refusal, or talk to whoever asked. */
bool draft_replies(const char *at, size_t len);
/* A line that begins an answer: "Answer:", "Assistant:". */
bool draft_answers(const char *at, size_t len);
/* The last word can't end a sentence: "the", "and". */
bool draft_dangles(const char *at, size_t len);
/* Whether a fence of three backquotes is open at the end. */
bool draft_open_fence(const char *at, size_t len);

#endif
