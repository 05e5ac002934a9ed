export async function main(heddle) {
  for (;;) await heddle.fetch(heddle.inputText());
}
