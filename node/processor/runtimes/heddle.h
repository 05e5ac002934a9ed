/* The job API of Heddle for C: two imported functions, and small helpers over them.
 *
 * A call has a name and a body of bytes; its reply is bytes, an error text, or absent. The names and bodies are those of
 * node/processor/runtimes/calls.py: input, output, environment, job, fetch, storage.get, storage.set, storage.delete,
 * progress, log, checkpoint, restore, now, random, sign, fail.
 */
#ifndef HEDDLE_H
#define HEDDLE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HEDDLE_IMPORT(name) __attribute__((import_module("heddle"), import_name(name)))

/* Runs a call. Returns the length of its reply; or -1 - n where the reply is n bytes of error text; -1: absent. */
HEDDLE_IMPORT("request")
int32_t heddle_request(const void *name, uint32_t name_length, const void *body, uint32_t body_length);

/* Copies up to `length` bytes of the last reply, from `offset`; returns how many. */
HEDDLE_IMPORT("reply")
uint32_t heddle_reply(void *buffer, uint32_t offset, uint32_t length);

typedef struct {
    int32_t status; /* what heddle_request returned */
    uint32_t length;
    uint8_t *bytes; /* `length` bytes and a final NUL; NULL if there was no memory. free() it. */
} heddle_answer;

static inline heddle_answer heddle_call(const char *name, const void *body, uint32_t body_length)
{
    heddle_answer answer;
    answer.status = heddle_request(name, (uint32_t)strlen(name), body, body_length);
    answer.length = answer.status >= 0 ? (uint32_t)answer.status : (uint32_t)(-1 - answer.status);
    answer.bytes = malloc((size_t)answer.length + 1);
    if (answer.bytes) {
        heddle_reply(answer.bytes, 0, answer.length);
        answer.bytes[answer.length] = 0;
    }
    return answer;
}

/* Appends to the result. */
static inline void heddle_output(const void *bytes, uint32_t length)
{
    heddle_request("output", 6, bytes, length);
}

static inline void heddle_log(const char *text)
{
    heddle_request("log", 3, text, (uint32_t)strlen(text));
}

/* Ends the run as AppError: `body` is "CODE message", with a code of 1..255. Does not return. */
static inline void heddle_fail(const char *body)
{
    heddle_request("fail", 4, body, (uint32_t)strlen(body));
    abort();
}

#endif
