// Counts the words of the input. What `main` returns is the result: text and bytes as they are, the rest as JSON.
export function main(heddle) {
  const words = heddle.inputText().split(/\s+/).filter((word) => word);
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  heddle.log(`${words.length} words`);
  const longest = [...counts.keys()].sort((a, b) => a.length - b.length || (a < b ? -1 : 1)).pop();
  return { words: words.length, distinct: counts.size, longest };
}
