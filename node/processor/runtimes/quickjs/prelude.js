// The job API for JavaScript. `native` is made by host.c: call(name, body), text(bytes), bytes(string).
// Returns [heddle, finish]; heddle is also a global. Part of the host interface: a change means a new HOST_ABI.
(function (native) {
  "use strict";
  const { call, text, bytes } = native;
  const JSON_stringify = JSON.stringify;

  const toBytes = (value) => {
    if (typeof value === "string" || value instanceof Uint8Array || value instanceof ArrayBuffer) return value;
    if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    throw new TypeError("expected a string, an ArrayBuffer or a typed array");
  };

  const pairs = (name) => {
    const items = text(call(name)).split("\0");
    const result = {};
    for (let at = 0; at + 1 < items.length; at += 2) result[items[at]] = items[at + 1];
    return result;
  };

  class Response {
    constructor(message) {
      let end = 0;
      while (end < message.length && !(message[end] === 10 && message[end + 1] === 10)) end += 1;
      const lines = text(message.slice(0, end)).split("\n");
      this.status = Number(lines[0]);
      this.ok = this.status >= 200 && this.status < 300;
      this.headers = {};
      for (const line of lines.slice(1)) {
        const colon = line.indexOf(": ");
        this.headers[line.slice(0, colon)] = line.slice(colon + 2);
      }
      this.body = message.slice(end + 2);
    }
    bytes() { return this.body; }
    text() { return text(this.body); }
    json() { return JSON.parse(this.text()); }
  }

  const requestMessage = (url, { method = "GET", headers = {}, body = "" } = {}) => {
    const lines = [`${method} ${url}`];
    for (const name of Object.keys(headers)) lines.push(`${name}: ${headers[name]}`);
    const head = bytes(lines.join("\n") + "\n\n");
    const content = typeof body === "string" ? bytes(body) : new Uint8Array(toBytes(body));
    const message = new Uint8Array(head.length + content.length);
    message.set(head, 0);
    message.set(content, head.length);
    return message;
  };

  const storageMessage = (key, value) => {
    const name = bytes(String(key));
    const content = typeof value === "string" ? bytes(value) : new Uint8Array(toBytes(value));
    const message = new Uint8Array(4 + name.length + content.length);
    new DataView(message.buffer).setUint32(0, name.length, true);
    message.set(name, 4);
    message.set(content, 4 + name.length);
    return message;
  };

  // Read when it is asked for: a script that does not look at its slot uses the same fuel on every one.
  let job = null;
  const readJob = () => {
    job = pairs("job");
    for (const name of ["execution", "slot", "attempt"]) job[name] = Number(job[name]);
    return Object.freeze(job);
  };

  const heddle = {
    input: () => call("input"),
    inputText: () => text(call("input")),
    output: (content) => { call("output", toBytes(content)); },
    env: Object.freeze(pairs("environment")),
    get job() { return job ?? readJob(); },
    fetch: async (url, options) => new Response(call("fetch", requestMessage(url, options))),
    storage: Object.freeze({
      get: (key) => call("storage.get", String(key)),
      getText: (key) => { const value = call("storage.get", String(key)); return value === null ? null : text(value); },
      set: (key, value) => { call("storage.set", storageMessage(key, value)); },
      delete: (key) => { call("storage.delete", String(key)); },
    }),
    progress: (percent, note = "") => { call("progress", `${Math.trunc(percent)} ${note}`); },
    log: (...parts) => { call("log", parts.map(String).join(" ")); },
    checkpoint: (content) => { call("checkpoint", toBytes(content)); },
    restore: () => call("restore"),
    now: () => Number(text(call("now"))),
    random: (length) => call("random", String(length)),
    sign: (content) => call("sign", toBytes(content)),
    fail: (code, message = "") => { call("fail", `${code} ${message}`); },
  };
  globalThis.heddle = Object.freeze(heddle);
  globalThis.fetch = heddle.fetch;
  globalThis.console = { log: heddle.log, info: heddle.log, warn: heddle.log, error: heddle.log, debug: heddle.log };
  globalThis.TextEncoder = class TextEncoder { encode(value = "") { return bytes(value); } };
  globalThis.TextDecoder = class TextDecoder { decode(value = new Uint8Array(0)) { return text(toBytes(value)); } };

  const finish = (result) => {
    if (result === undefined) return;
    const plain = typeof result === "string" || ArrayBuffer.isView(result) || result instanceof ArrayBuffer;
    const content = plain ? toBytes(result) : JSON_stringify(result);
    if (content !== undefined) call("output", content);
  };
  return [heddle, finish];
})
