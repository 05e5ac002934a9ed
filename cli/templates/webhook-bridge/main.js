// An order -> the message that the receiver gets, once, under one idempotency key (the header webhook-id).
export function main(heddle) {
  const { order, lines } = JSON.parse(heddle.inputText());
  if (!Array.isArray(lines) || lines.length === 0) heddle.fail(2, `order ${order} has no lines`);
  const cents = lines.reduce((sum, line) => sum + line.quantity * line.cents, 0);
  return { type: "order.priced", data: { order, lines: lines.length, cents } };
}
