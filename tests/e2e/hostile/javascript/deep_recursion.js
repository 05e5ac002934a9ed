const deeper = (n) => 1 + deeper(n + 1);
export function main() {
  return deeper(0);
}
