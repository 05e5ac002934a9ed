export function main(heddle) {
  const block = new Uint8Array(1 << 16);
  for (let n = 0; ; n++) heddle.storage.set(`key ${n}`, block);
}
