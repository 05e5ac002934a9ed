/* The host side of JavaScript jobs: QuickJS as a wasm module with one export, `run`.
 *
 * It reads the prelude, the script and the entry point by host calls, evaluates the script as an ES module, calls the
 * exported function, waits for its promise, and hands the result to the prelude's `finish`. A failure is told to the
 * host by the call `runtime.failed`, which does not return.
 */
#include "heddle.h"
#include "quickjs.h"

/* QuickJS measures the shadow stack (1 MiB), wasmtime limits its own (2 MiB, which cannot be raised). The parsers of
 * JSON and of parentheses use little of the first and much of the second: with 160 KiB they overflowed the second, a trap
 * whose depth depends on the machine. With 128 KiB every recursion tried ends in QuickJS's RangeError; about 400 calls. */
#define STACK_BYTES (128 * 1024)
#define MESSAGE_BYTES_MAX 500

static JSRuntime *runtime;
static JSContext *context;
static uint64_t random_state[2];
static int rejections; /* promises rejected that nobody has handled */

static void failed(const char *kind, const char *message)
{
    char body[MESSAGE_BYTES_MAX + 32];
    size_t kind_length = strlen(kind), length = strlen(message);
    if (length > MESSAGE_BYTES_MAX)
        length = MESSAGE_BYTES_MAX;
    memcpy(body, kind, kind_length);
    body[kind_length] = ' ';
    memcpy(body + kind_length + 1, message, length);
    heddle_request("runtime.failed", 14, body, (uint32_t)(kind_length + 1 + length));
    abort();
}

/* Ends the run for the exception in flight. */
static void failed_by_exception(int compiling)
{
    JSValue error = JS_GetException(context);
    if (JS_IsNull(error))
        failed("app", "null was thrown"); /* also what QuickJS throws when it has no memory for an error */
    const char *kind = compiling ? "invalid" : "app";
    const char *text = JS_ToCString(context, error);
    if (!text)
        failed("memory", "out of memory");
    if (JS_IsError(error)) {
        if (strstr(text, "InternalError: out of memory") == text)
            kind = "memory";
        else if (strstr(text, "RangeError: Maximum call stack size exceeded") == text)
            kind = "stack";
        JSValue stack = JS_GetPropertyStr(context, error, "stack");
        const char *lines = JS_ToCString(context, stack);
        if (lines && *lines)
            heddle_log(lines);
    }
    failed(kind, text);
}

/* The bytes of a string, an ArrayBuffer or a Uint8Array. `*text` is set where JS_FreeCString is due. */
static const void *bytes_of(JSValueConst value, size_t *length, const char **text)
{
    *text = NULL;
    *length = 0;
    if (JS_IsUndefined(value))
        return "";
    if (JS_IsString(value))
        return *text = JS_ToCStringLen(context, length, value);
    const void *bytes = JS_GetTypedArrayType(value) == JS_TYPED_ARRAY_UINT8
                            ? JS_GetUint8Array(context, length, value)
                            : JS_GetArrayBuffer(context, length, value);
    return bytes || JS_HasException(context) ? bytes : "";
}

/* call(name, body) -> Uint8Array, or null for an absent value; throws Error(text). */
static JSValue js_call(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv)
{
    size_t length;
    const char *text, *name = JS_ToCString(ctx, argv[0]);
    if (!name)
        return JS_EXCEPTION;
    const void *body = bytes_of(argv[1], &length, &text);
    if (!body) {
        JS_FreeCString(ctx, name);
        return JS_EXCEPTION;
    }
    int32_t status = heddle_request(name, (uint32_t)strlen(name), body, (uint32_t)length);
    JS_FreeCString(ctx, name);
    if (text)
        JS_FreeCString(ctx, text);
    if (status == -1)
        return JS_NULL;
    uint32_t size = status >= 0 ? (uint32_t)status : (uint32_t)(-1 - status);
    char *reply = js_malloc(ctx, (size_t)size + 1);
    if (!reply)
        return JS_EXCEPTION;
    heddle_reply(reply, 0, size);
    reply[size] = 0;
    JSValue result = status >= 0 ? JS_NewUint8ArrayCopy(ctx, (const uint8_t *)reply, size)
                                 : JS_ThrowPlainError(ctx, "%s", reply);
    js_free(ctx, reply);
    return result;
}

/* text(bytes) -> string, of UTF-8. */
static JSValue js_text(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv)
{
    size_t length;
    const char *text;
    const void *bytes = bytes_of(argv[0], &length, &text);
    if (!bytes)
        return JS_EXCEPTION;
    JSValue result = JS_NewStringLen(ctx, bytes, length);
    if (text)
        JS_FreeCString(ctx, text);
    return result;
}

/* bytes(string) -> Uint8Array of its UTF-8. */
static JSValue js_bytes(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv)
{
    size_t length;
    const char *text = JS_ToCStringLen(ctx, &length, argv[0]);
    if (!text)
        return JS_EXCEPTION;
    JSValue result = JS_NewUint8ArrayCopy(ctx, (const uint8_t *)text, length);
    JS_FreeCString(ctx, text);
    return result;
}

/* Math.random: xorshift128+, seeded by the job's seed. */
static JSValue js_random(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv)
{
    uint64_t a = random_state[0], b = random_state[1];
    random_state[0] = b;
    a ^= a << 23;
    random_state[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return JS_NewFloat64(ctx, (double)((random_state[1] + b) >> 11) / 9007199254740992.0);
}

static void on_rejection(JSContext *ctx, JSValueConst promise, JSValueConst reason, bool handled, void *opaque)
{
    rejections += handled ? -1 : 1;
    if (!handled) {
        const char *text = JS_ToCString(ctx, reason);
        if (text)
            heddle_log(text);
        JS_FreeCString(ctx, text);
    }
}

static void set_function(JSValueConst object, const char *name, JSCFunction *function, int arguments)
{
    JS_SetPropertyStr(context, object, name, JS_NewCFunction(context, function, name, arguments));
}

/* Works off the job queue until `value`, if a promise, is settled; its result, or the end of the run. */
static JSValue settled(JSValue value)
{
    if (!JS_IsPromise(value))
        return value;
    JSContext *ignored;
    while (JS_PromiseState(context, value) == JS_PROMISE_PENDING) {
        int more = JS_ExecutePendingJob(runtime, &ignored);
        if (more < 0)
            failed_by_exception(0);
        if (more == 0)
            failed("app", "a promise never settles");
    }
    JSValue result = JS_PromiseResult(context, value);
    if (JS_PromiseState(context, value) == JS_PROMISE_REJECTED) {
        JS_Throw(context, result);
        failed_by_exception(0);
    }
    return result;
}

static JSValue checked(JSValue value, int compiling)
{
    if (JS_IsException(value))
        failed_by_exception(compiling);
    return value;
}

static void drain(void)
{
    JSContext *ignored;
    int more;
    while ((more = JS_ExecutePendingJob(runtime, &ignored)) > 0)
        ;
    if (more < 0)
        failed_by_exception(0);
    if (rejections > 0)
        failed("app", "a rejected promise was not handled");
}

/* The prelude's [heddle, finish]. */
static JSValue load_prelude(void)
{
    heddle_answer prelude = heddle_call("prelude", "", 0);
    JSValue setup = checked(JS_Eval(context, (char *)prelude.bytes, prelude.length, "prelude.js", 0), 0);
    free(prelude.bytes);
    JSValue native = JS_NewObject(context);
    set_function(native, "call", js_call, 2);
    set_function(native, "text", js_text, 1);
    set_function(native, "bytes", js_bytes, 1);
    return checked(JS_Call(context, setup, JS_UNDEFINED, 1, &native), 0);
}

/* The exported function of the script that is the entry point; `default` stands in for `main`. */
static JSValue load_script(void)
{
    heddle_answer script = heddle_call("script", "", 0);
    heddle_answer entrypoint = heddle_call("entrypoint", "", 0);
    int flags = JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY;
    JSValue module = checked(JS_Eval(context, (char *)script.bytes, script.length, "script.js", flags), 1);
    JSModuleDef *definition = JS_VALUE_GET_PTR(module);
    settled(checked(JS_EvalFunction(context, module), 0));
    JSValue names = checked(JS_GetModuleNamespace(context, definition), 0);
    const char *name = (char *)entrypoint.bytes;
    JSValue function = checked(JS_GetPropertyStr(context, names, name), 0);
    if (!JS_IsFunction(context, function) && strcmp(name, "main") == 0)
        function = checked(JS_GetPropertyStr(context, names, "default"), 0);
    if (!JS_IsFunction(context, function))
        failed("invalid", "the script exports no function of the entry point's name");
    return function;
}

__attribute__((export_name("run"))) int run(void)
{
    runtime = JS_NewRuntime();
    JS_SetMaxStackSize(runtime, STACK_BYTES);
    context = JS_NewContext(runtime);
    if (!context)
        failed("memory", "no memory to start");
    JS_SetHostPromiseRejectionTracker(runtime, on_rejection, NULL);
    heddle_request("random", 6, "16", 2);
    heddle_reply(random_state, 0, sizeof random_state);
    random_state[0] |= 1;
    JSValue global = JS_GetGlobalObject(context);
    set_function(JS_GetPropertyStr(context, global, "Math"), "random", js_random, 0);
    JSValue prelude = load_prelude();
    JSValue heddle = JS_GetPropertyUint32(context, prelude, 0);
    JSValue function = load_script();
    JSValue result = settled(checked(JS_Call(context, function, JS_UNDEFINED, 1, &heddle), 0));
    drain();
    JSValue finish = JS_GetPropertyUint32(context, prelude, 1);
    checked(JS_Call(context, finish, JS_UNDEFINED, 1, &result), 0);
    return 0; /* the memory goes with the instance */
}
