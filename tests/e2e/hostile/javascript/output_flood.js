export function main(heddle) {
  for (;;) heddle.output("all work and no play ".repeat(1000));
}
