export async function main(heddle) {
  try {
    return (await heddle.fetch(heddle.inputText())).text();
  } catch {
    return "a refusal is not to be caught";
  }
}
