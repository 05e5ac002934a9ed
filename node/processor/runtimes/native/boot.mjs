// Runs inside the native sandbox, first: the same as quickjs/host.c, for Node.js. It makes the job API with prelude.js over
// a socket, loads the script as an ES module, calls the entry point and hands out its result.
import fs from "node:fs";

const CHANNEL = Number(process.argv[2]);
const LENGTH_BYTES = 4;
const MESSAGE_CHARACTERS_MAX = 500;
const encoder = new TextEncoder(), decoder = new TextDecoder();

const bytes = (value) => encoder.encode(String(value));
const toBytes = (value) => {
  if (value === undefined) return new Uint8Array(0);
  if (typeof value === "string") return encoder.encode(value);
  return value instanceof ArrayBuffer ? new Uint8Array(value) : value;
};
const text = (value) => decoder.decode(toBytes(value));

const write = (content) => {
  for (let at = 0; at < content.length; ) at += fs.writeSync(CHANNEL, content, at);
};
const read = (length) => {
  const content = Buffer.alloc(length);
  for (let at = 0; at < length; ) {
    const count = fs.readSync(CHANNEL, content, at, length - at, null);
    if (count === 0) process.exit(1); // the host has closed the run
    at += count;
  }
  return content;
};

const call = (name, body) => {
  const title = encoder.encode(name), content = toBytes(body);
  const head = Buffer.alloc(LENGTH_BYTES + 1);
  head.writeUInt32LE(1 + title.length + content.length, 0);
  head[LENGTH_BYTES] = title.length;
  write(Buffer.concat([head, title, content]));
  const status = read(LENGTH_BYTES).readInt32LE(0);
  if (status >= 0) return new Uint8Array(read(status));
  const reason = text(read(-1 - status));
  if (reason) throw new Error(reason);
  return null;
};

const failed = (kind, message) => {
  call("runtime.failed", `${kind} ${message}`.slice(0, MESSAGE_CHARACTERS_MAX));
  process.exit(1);
};
const failedBy = (error) => {
  const message = String(error);
  if (error?.stack) call("log", String(error.stack));
  failed(message.includes("Maximum call stack size exceeded") ? "stack" : "app", message);
};
process.on("uncaughtException", failedBy);
process.on("unhandledRejection", failedBy);

const [heddle, finish] = (0, eval)(text(call("prelude")))({ call, text, bytes });
let script;
try {
  script = await import("/job/script.mjs");
} catch (error) {
  if (error instanceof SyntaxError) failed("invalid", String(error));
  failedBy(error);
}
const entrypoint = text(call("entrypoint"));
const main = script[entrypoint] ?? (entrypoint === "main" ? script.default : undefined);
if (typeof main !== "function") failed("invalid", "the script exports no function of the entry point's name");
finish(await main(heddle));
